from pathlib import Path

import pytest

from local.host.host_json import read_host_json
from local.host.scale_vote import scale_vote

SETTINGS = read_host_json(Path(__file__).parents[2], {}).queues


@pytest.mark.parametrize(
    ("messages", "are_visible", "vote"), [(0, False, 0), (1, True, 1), (4, True, 1), (5, True, 2), (1000, False, 0)]
)
def test_an_instance_is_wanted_for_what_each_takes_at_once(messages: int, are_visible: bool, vote: int) -> None:
    assert scale_vote(messages, are_visible=are_visible, settings=SETTINGS) == vote


def test_what_cannot_be_seen_counts_once_anything_can_be() -> None:
    assert scale_vote(1000, are_visible=True, settings=SETTINGS) == 250
