"""From a task to a finished run folder: what all three training scripts do after their options are parsed."""

import argparse
import io
import json
from contextlib import redirect_stdout
from typing import Any

import torch
from torch import nn

from dataset.data import Data, eval_loaders, train_loader
from dataset.loader import EvalLoader
from engine.evaluation import evaluate
from engine.optimizer import make_optimizer
from engine.run_folder import RunFolder, settings_of
from engine.step import GraphedStep, Step
from engine.task import Entry, Task
from engine.trainer import Progress, Trainer
from helper.device import device_name
from helper.provenance import versions
from helper.results import table
from reporting.run_plots import plot_run


def finished_already(run: RunFolder) -> bool:
    """Whether there is nothing to do; says so, and shows what the run came to."""
    if run.finished:
        print(f"{run.path} is finished already: nothing to do")
        print(table(json.loads((run.path / "results.json").read_text())))
    return run.finished


def run_experiment(
    run: RunFolder,
    task: Task,
    data: Data,
    args: argparse.Namespace,
    precision: str,
    teacher_name: str | None = None,
    **settings_extra: Any,
) -> dict[str, Any]:
    """Train, evaluate, plot, write the networks and at last results.json, whose content is returned.

    Everything that can be wrong with the request is found before the first file is written. settings_extra:
    what a resumed run must share with its beginning beside the flags.
    """
    device = task.device
    settings = settings_of(args, precision=precision, data_sha256=data.fingerprint(), **settings_extra)
    loader = train_loader(data, args, device, drop_last=task.fixed_batch)
    test, validation = eval_loaders(data, device)
    state = run.load(settings)
    step = Step(task, make_optimizer(task, args, capturable=args.cuda_graph), args.clip_grad)
    if args.cuda_graph:
        step = GraphedStep(step, task.generators())
    trainer = Trainer(task, step, loader, test, validation, run, args, settings, data.num_classes)
    try:
        run.begin(settings, device)
        if state is not None:
            trainer.restore(state)
        if args.compile:
            task.compile()
        run.write_text("summary.txt", summaries(task.entries, data))
        run.log(f"{run.path}: {opening(trainer.progress, args, device, precision, loader.n_data)}")
        progress = trainer.fit()
        for name in task.names:
            run.write_network(trainer.network_content(last_row(progress, name)), f"{name}_last")
        if task.ensemble:
            run.write_network(task.ensemble_state() | {"num_classes": data.num_classes}, "ensemble_last")
        per_epoch = len(loader) * args.batch_size if task.fixed_batch else loader.n_data
        results = {
            "script": run.script,
            "dataset": args.dataset,
            "epochs": args.epochs,
            "seed": args.seed,
            "seconds": round(progress.seconds, 3),
            "images_per_second": round(per_epoch * args.epochs / progress.training_seconds, 1),
            "device": device_name(device),
            "versions": versions(),
            "teacher": teacher_scores(task, teacher_name, test),
            "students": [student_scores(entry, progress) for entry in task.entries],
            "ensemble": ensemble_scores(task, progress),
        }
        plot_run(run.path, progress.rows, results)
        run.write_json("results.json", results)
        run.log(f"finished: results, plots and networks are in {run.path}")
        return results
    finally:
        run.close()


def opening(
    progress: Progress, args: argparse.Namespace, device: torch.device, precision: str, images: int
) -> str:
    """The first line of a run."""
    begun = ""
    if progress.epoch or progress.step:
        begun = f", going on after epoch {progress.epoch} and {progress.step} steps"
    return f"{images} images, {args.epochs} epochs, {device_name(device)}, {precision}{begun}"


def last_row(progress: Progress, name: str) -> dict[str, Any]:
    """The last epoch's row of metrics.csv of a student or the ensemble."""
    return next(row for row in reversed(progress.rows) if row["student"] == name)


def teacher_scores(task: Task, name: str | None, test: EvalLoader) -> dict[str, Any] | None:
    """The teacher's name and accuracy in percent, measured on the run's own test set."""
    if name is None:
        return None
    scores, _ = evaluate(task.teacher_logits, test)
    return {"model": name, "test_acc": scores["teacher"].top1}


def student_scores(entry: Entry, progress: Progress) -> dict[str, Any]:
    """What results.json says of a student."""
    last, best = last_row(progress, entry.name), progress.best[entry.name]
    return {
        "name": entry.name,
        "model": entry.model,
        "distill": entry.method,
        "parameters": sum(p.numel() for p in entry.network.parameters()),
        "test_acc_last": last["test_acc"],
        "test_acc_best": best["test_acc"],
        "best_epoch": best["epoch"],
        "test_acc_top5_last": last["test_acc_top5"],
        "test_loss_last": last["test_loss"],
    }


def ensemble_scores(task: Task, progress: Progress) -> dict[str, Any] | None:
    """What results.json says of the ensemble."""
    if task.ensemble is None:
        return None
    return {
        "online": task.ensemble,
        "weights": progress.weights,
        "test_acc_last": last_row(progress, "ensemble")["test_acc"],
        "test_acc_best": progress.best["ensemble"]["test_acc"],
    }


def summaries(entries: list[Entry], data: Data) -> str:
    """The layers of each network as torch-summary prints them; without that package, the parameter counts."""
    networks = {entry.model: entry.network for entry in entries}
    return "\n\n".join(f"{name}\n{_summary(network, data)}" for name, network in networks.items()) + "\n"


def _summary(network: nn.Module, data: Data) -> str:
    try:
        from torchsummary import summary
    except ImportError:
        count = sum(p.numel() for p in network.parameters())
        return f"{count:,} parameters (pip install torch-summary for a table of the layers)"
    size = data.images.shape[1]
    device = next(network.parameters()).device
    with redirect_stdout(io.StringIO()):
        training = network.training
        table = summary(network, (3, size, size), verbose=0, device=device)
        network.train(training)
    return str(table)
