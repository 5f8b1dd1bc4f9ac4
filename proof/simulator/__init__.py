"""A world in memory, with a clock that jumps, in which everything that can fail does.

schedule   who runs when: one at a time, by the virtual clock
memory     table, queue and instance, as the real adapters show them
faults     what goes wrong on the way to them
processes  the app: several processes with real reconcilers, that die and come back
history    what happens: alerts, people, weather, deaths, all drawn from one seed
oracle     what must be true at every moment and in the end

`python -m proof.simulator --seed 7` plays one history and prints its story.
"""
