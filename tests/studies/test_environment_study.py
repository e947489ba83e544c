"""The study of the environment's speed."""

import pytest

from studies import environment


@pytest.mark.slow
def test_a_short_run(tmp_path):
    """Every contender is measured, in processes of its own too, and the environment takes a part of a rollout."""
    configuration = {"seconds": 0.05, "repetitions": 1}
    facts = environment.gathered({"all": {"0": environment.run(configuration, 0, tmp_path)}})
    assert all(rate > 0 for rates in facts["steps_per_second"].values() for rate in rates)
    assert all(0 < share < 1 for share in facts["share_in_environment"].values())
    assert "| batch, 64 |" in environment.table(facts)
    environment.draw(facts, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 5_000
