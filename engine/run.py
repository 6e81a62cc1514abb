"""From a task to a finished run folder: what all three training scripts do once they know what to train."""

import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from dataset.data import Data, cached, eval_loaders, train_loader
from engine.evaluation import Classes, evaluate
from engine.facts import facts_of
from engine.measured import Loaders, per_class_of
from engine.optimizer import Recipe
from engine.progress import Progress, last_row
from engine.run_folder import RunFolder
from engine.settings import Settings, differences
from engine.task import Task
from engine.trainer import Trainer
from helper.device import device_name
from helper.errors import UserError
from helper.provenance import versions
from helper.results import EnsembleScore, Results, StudentScore, TeacherScore, table
from helper.sizes import ImageSize, sides
from reporting.per_class import LARGEST_MATRIX, write_per_class
from reporting.run_plots import plot_run
from reporting.style import require_plots


def train(
    run: RunFolder,
    settings: Settings,
    data: Data,
    make_task: Callable[[], Task],
    *,
    device: torch.device,
    precision: str,
    teacher: str | None = None,
    teacher_sha256: str | None = None,
    warn_of_teacher: Callable[[float], str | None] = lambda accuracy: None,
    notes: Sequence[str] = (),
) -> Results:
    """Train, evaluate, plot, write the networks and at last results.json, whose record is returned.

    Everything that can be wrong with the request is found before the first file is written. A finished run of
    the same settings is only shown; one with fewer epochs goes on if those it has are those of the longer
    run. make_task: builds what is trained, asked only if there is something to train; teacher: the name of
    its network; warn_of_teacher: what to say of a teacher with that accuracy in percent; notes: what to say
    before training, beside the data set's own.
    """
    require_plots()
    resolved = {"precision": precision, "eval_precision": settings.compute.eval_precision}
    resolved |= data.resolved()
    if teacher_sha256 is not None:
        resolved["teacher_sha256"] = teacher_sha256
    kept = settings.nested() | {"resolved": resolved}
    state = run.load()
    before = None
    if state is not None or run.finished:
        before = state["settings"] if state is not None else run.settings_of_finished()
    differing = {} if before is None else differences(before, kept, settings.defaults)
    longer = differing.pop("epochs", None) if state is not None else None
    if longer is not None:
        differing.pop("lr_decay_epochs", None)  # what matters of these is looked at epoch by epoch
    refuse_differences(run, differing)
    if run.finished and longer is None:
        print(f"{run.path} is finished already, with these settings: nothing to do")
        results = Results.read(run.path / "results.json")
        print(table(results))
        return results
    task = make_task()
    if longer is not None:
        refuse_other_schedule(run, task, before, settings.recipe, Progress(**state["progress"]).trained)
    if taps := task.taps():
        kept["taps"] = taps
        if before is not None and before.get("taps") != taps:
            refuse_differences(run, {"taps": (before.get("taps"), taps)})
    data = cached(data, settings.data, device)
    loaders = Loaders(
        train_loader(data, settings.data, settings.recipe.seed, device, task.fixed_batch, task.views),
        *eval_loaders(data, settings.data, device),
    )
    facts = facts_of(data, settings, kept)
    trainer = Trainer(
        task,
        settings.recipe,
        loaders,
        run,
        settings=kept,
        facts=facts,
        save_every=settings.place.save_every,
        graph=settings.compute.cuda_graph,
    )
    try:
        asked = {"settings": kept, "changed": settings.changed(), "owners": dict(settings.owners)}
        run.begin(asked, device)
        if state is not None:
            trainer.restore(state)
        if settings.compute.compile:
            task.compile()
        run.write_text("summary.txt", summaries(task, data))
        images = f"{loaders.train.n_data} images, {settings.recipe.epochs} epochs"
        how = f"{precision}, evaluated in {settings.compute.eval_precision}"
        run.log(f"{run.path}: {images}, {device_name(device)}, {how}{going_on(trainer.progress)}")
        for line in (*(f"note: {note}" for note in (*data.dataset.notes, *notes)), *task.remarks()):
            run.log(line)
        by_teacher = Classes()
        score = teacher_score(task, teacher, loaders, by_teacher)
        if score is not None and (warning := warn_of_teacher(score.test_acc)):
            run.log(f"warning: {warning}")
        progress = trainer.fit()
        results = results_of(run, task, settings, resolved, progress, loaders, score, device)
        for name, content in trainer.last_networks().items():
            run.write_network(content, name)
        if task.ensemble:
            origin = {"num_classes": data.num_classes, "settings_sha256": facts.settings_sha256}
            run.write_network(task.ensemble_state() | origin, "ensemble_last")
        plot_run(run.path, progress.rows, results)
        of_classes = per_class_of(task, loaders, by_teacher, data.num_classes, data.dataset.class_names)
        write_per_class(of_classes, run.path, run.path / "plots", task.names, results)
        if not of_classes.has_matrices:
            run.log(f"note: no confusion matrices, as there are more than {LARGEST_MATRIX} classes")
        results.write(run.path / "results.json")
        run.log(f"finished: results, plots and networks are in {run.path}")
        print(table(results))
        return results
    finally:
        run.close()


def refuse_differences(run: RunFolder, differing: Mapping[str, tuple[Any, Any]]) -> None:
    """Raise UserError that names every setting that differs from the run's beginning."""
    if differing:
        told = ", ".join(f"{name} ({then} then, {now} now)" for name, (then, now) in differing.items())
        raise UserError(
            f"{run.path} was begun with other settings: {told}; repeat its command, or name another run "
            "with --trial"
        )


def refuse_other_schedule(
    run: RunFolder, task: Task, before: Mapping[str, Any], recipe: Recipe, done: int
) -> None:
    """Raise UserError unless the epochs that a run has are those of a run of `recipe.epochs` epochs too."""
    then = before.get("recipe", before)
    old = replace(recipe, epochs=then["epochs"], lr_decay_epochs=then["lr_decay_epochs"])
    instead = f"repeat its command with --epochs {old.epochs}, or name another run with --trial"
    if recipe.epochs < done:
        raise UserError(f"{run.path} has {done} epochs already, --epochs asks for {recipe.epochs}: {instead}")
    for epoch in range(done):
        rates = {one.scheduled(1.0, epoch) for one in (old, recipe)}
        schedules = [task.schedule(epoch, one.epochs) for one in (old, recipe)]
        if len(rates) > 1 or schedules[0] != schedules[1]:
            what = (
                "the learning rate" if len(rates) > 1 else "the weight of what is learned online or offline"
            )
            raise UserError(
                f"{run.path} was trained for {old.epochs} epochs and cannot go on to {recipe.epochs}: with "
                f"that length {what} is another in epoch {epoch + 1} already (a schedule that depends on "
                f"--epochs can be fixed, as the steps with --lr_decay_epochs, from the start); {instead}"
            )


def going_on(progress: Progress) -> str:
    """From where a run goes on, for its first line."""
    if not progress.epoch and not progress.step:
        return ""
    return f", going on after epoch {progress.epoch} and {progress.step} steps"


def teacher_score(task: Task, name: str | None, loaders: Loaders, classes: Classes) -> TeacherScore | None:
    """The teacher's name and accuracy in percent, measured on the run's own test set, whose `classes` are
    told.
    """
    if name is None:
        return None
    scores, _ = evaluate(task.teacher_logits, loaders.test, classes)
    return TeacherScore(model=name, test_acc=scores["teacher"].top1)


def results_of(
    run: RunFolder,
    task: Task,
    settings: Settings,
    resolved: Mapping[str, Any],
    progress: Progress,
    loaders: Loaders,
    teacher: TeacherScore | None,
    device: torch.device,
) -> Results:
    """The record of a finished run."""
    train = loaders.train
    per_epoch = len(train) * settings.data.batch_size if task.fixed_batch else train.n_data
    return Results(
        script=run.script,
        dataset=settings.data.dataset,
        epochs=settings.recipe.epochs,
        seed=settings.recipe.seed,
        seconds=round(progress.seconds, 3),
        images_per_second=round(per_epoch * settings.recipe.epochs / progress.training_seconds, 1),
        device=device_name(device),
        precision=settings.compute.eval_precision,
        versions=versions(),
        data_sha256=resolved["data_sha256"],
        teacher_sha256=resolved.get("teacher_sha256"),
        teacher=teacher,
        students=tuple(student_score(student, progress) for student in task.students),
        ensemble=ensemble_score(task, progress),
    )


def student_score(student: Any, progress: Progress) -> StudentScore:
    """What results.json says of a student."""
    plan, network, distiller = student.plan, student.network, student.distiller
    last, best = last_row(progress, plan.name), progress.best[plan.name]
    added = 0 if distiller is None else sum(p.numel() for p in distiller.parameters())
    return StudentScore(
        name=plan.name,
        model=plan.model,
        distill=plan.method,
        label=plan.label,
        beta=plan.weights.beta,
        multiplier=plan.multiplier,
        parameters=sum(p.numel() for p in network.parameters()),
        parameters_added=added,
        test_acc_last=last["test_acc"],
        test_acc_best=best["test_acc"],
        best_epoch=best["epoch"],
        test_acc_top5_last=last["test_acc_top5"],
        test_loss_last=last["test_loss"],
        test_acc_ema_last=last.get("test_acc_ema"),
        seconds=round(progress.training_seconds, 3),
    )


def ensemble_score(task: Task, progress: Progress) -> EnsembleScore | None:
    """What results.json says of the ensemble."""
    if task.ensemble is None:
        return None
    return EnsembleScore(
        online=task.ensemble,
        weights=progress.weights,
        test_acc_last=last_row(progress, "ensemble")["test_acc"],
        test_acc_best=progress.best["ensemble"]["test_acc"],
    )


def summaries(task: Task, data: Data) -> str:
    """The layers of each network as torch-summary prints them; without that package, the parameter counts."""
    networks = {student.plan.arch: student.network for student in task.students}
    size = data.dataset.image_size
    return "\n\n".join(f"{name}\n{_summary(network, size)}" for name, network in networks.items()) + "\n"


def _summary(network: nn.Module, size: ImageSize) -> str:
    count = f"{sum(p.numel() for p in network.parameters()):,} parameters"
    try:
        from torchsummary import summary
    except ImportError:
        return f"{count} (pip install torch-summary for a table of the layers)"
    device = next(network.parameters()).device
    with redirect_stdout(io.StringIO()):
        training = network.training
        try:
            text = summary(network, (3, *sides(size)), verbose=0, device=device)
        except RuntimeError:  # it cannot follow all that networks of other code do
            text = f"{count} (torch-summary cannot show the layers)"
        network.train(training)
    return str(text)
