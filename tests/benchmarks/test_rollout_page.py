from benchmarks.rollout_page import page

ROW = {
    "system": "catfish",
    "kind": "NaN",
    "replicas": 1,
    "reason shown": "NonFiniteWeights",
    "noticed": 0.42,
    "v1 back": 0.0,
    "failed": 0,
    "wrong": 0,
    "of": 300,
    "v1 least": 1,
    "least": 1,
}


def test_a_kind_is_one_row_with_the_figures_of_all_numbers_of_replicas():
    three = ROW | {"replicas": 3, "noticed": -0.3, "v1 back": None, "failed": 2, "v1 least": 2}
    plain = [ROW | {"system": "plain", "wrong": 7, "of": 900, "least": 0}]
    *_, row = page([ROW, three, *plain]).splitlines()
    assert row == (
        "| NaN | `NonFiniteWeights` | 0.4 s / 0.0 s | 0.0 s / never | 0 + 0, 300 / 2 + 0, 300 | 1 of 1 / 2 of 3 "
        "| 0 + 7, 900 | 0 of 1 |"
    )
