"""How many instances does the platform want for a queue?

The tests of long outages ask, to see how many instances waiting alerts would start. The platform's scaler counts the
messages of the queue, also those that nobody can see yet, and divides them by what one instance takes at once. It votes
for none only if a look finds nothing visible.

Source: https://github.com/Azure/azure-sdk-for-net (Microsoft.Azure.WebJobs.Extensions.Storage.Queues:
QueueTargetScaler, QueueMetricsProvider)
"""

from local.host.host_json import QueueSettings


def scale_vote(messages: int, *, are_visible: bool, settings: QueueSettings) -> int:
    """Return how many instances are wanted for `messages`, those that are hidden included."""
    if not are_visible:
        return 0
    at_once = settings.batch_size + settings.new_batch_threshold
    return -(-messages // at_once)
