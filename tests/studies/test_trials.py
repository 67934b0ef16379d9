"""Trials: what a training step costs, and how processes share the work."""

import json
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import torch

from noisefold.studies.kit import trials
from noisefold.studies.kit.cache import claimed
from noisefold.studies.kit.trials import Trial, measure_costs, relative_loss, work
from noisefold.train.settings import Training

DEVICE = torch.device("cpu")


@dataclass
class Clocked:
    """A bench whose models take the given seconds for each step, told to a clock that nothing else moves."""

    seconds: dict[str, list[float]]
    now: float = 0.0
    training: Training = field(default_factory=lambda: Training(steps=9))
    sets: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(train=None))

    def model(self, build, seed):
        row = build()

        def fit(data, settings, on_step):
            for step in range(settings.steps):
                self.now += self.seconds[row].pop(0)
                on_step(step)

        return SimpleNamespace(fit=fit, device=DEVICE)


@pytest.fixture
def costs(monkeypatch, tmp_path):
    def measured(seconds, **options):
        bench = Clocked({row: list(values) for row, values in seconds.items()})
        monkeypatch.setattr(trials.time, "process_time", lambda: bench.now)
        builds = {row: lambda row=row: row for row in seconds}
        return measure_costs(tmp_path / "costs", builds, bench, **options)

    return measured


def test_the_cost_of_a_step_is_the_median_over_rounds_and_steps(costs):
    """Neither mean (3.2 and 32), nor an extreme, nor the first or last step, nor one network alone."""
    a = [100, 1, 2, 100, 100, 2, 8, 100, 100, 3, 3.2, 100]
    found = costs({"a": a, "b": [10 * v for v in a]}, rounds=3)
    assert found == {"a": 2.5, "b": 25.0}


def test_an_odd_number_of_costs_has_one_in_the_middle(costs):
    assert costs({"a": [9, 5, 9, 9, 1, 9, 9, 30, 9]}, rounds=3, steps=1) == {"a": 5.0}


def test_costs_are_measured_once(costs):
    first = costs({"a": [1.0] * 20})
    assert costs({"a": []}) == first


def test_a_row_added_later_is_measured_beside_a_known_one(costs, tmp_path):
    """The machine is now twice as slow: the new row's cost is given in the seconds of then."""
    (tmp_path / "costs.json").write_text(json.dumps({"a": 0.5}))
    assert costs({"a": [1.0] * 20, "b": [3.0] * 20}) == {"a": 0.5, "b": 1.5}
    assert json.loads((tmp_path / "costs.json").read_text()) == {"a": 0.5, "b": 1.5}


def test_a_process_waits_for_the_trials_of_another(tmp_path, monkeypatch):
    """Another process holds the last trial and finishes it while this one polls."""
    trial = Trial("a", 0, lambda: None, 1, 1.0, tmp_path / "held")
    monkeypatch.setattr(Trial, "result", lambda self, bench: pytest.fail("worked on a claimed trial"))
    polls = []

    def sleep(seconds):
        polls.append(seconds)
        if len(polls) == 2:
            trial.file.write_text("{}")

    monkeypatch.setattr(trials.time, "sleep", sleep)
    with claimed(trial.folder) as mine:
        assert mine
        work([trial], None)
    assert len(polls) == 2


def test_ratios_of_losses_are_taken_seed_by_seed_where_both_are_known():
    def seeds(*levels):
        return [{"val_loss_by_signal": list(level)} for level in levels]

    found = relative_loss(seeds((1, None, 3, 8), (2, 2, 6, 8)), seeds((2, 1, None, 4), (2, 1, 3, 2)))
    assert found == [(0.125, [0.5, 1.0]), (0.875, [2.0, 4.0])]
