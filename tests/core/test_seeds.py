"""Random streams: another one for each purpose, seed and index, the same everywhere."""

from itertools import product

from handwriting.core import seeds


def test_no_two_of_many_streams_have_one_seed() -> None:
    purposes = ("order of mnist", "order of mnist1", "weights of mnist")
    found = {seeds.number(*each) for each in product(purposes, range(12), range(12))}
    assert len(found) == 3 * 12 * 12
    assert all(0 <= each < 2**64 for each in found)


def test_a_stream_is_the_same_on_every_machine() -> None:
    assert seeds.number("order of mnist", 1, 2) == 8557894252990421791
