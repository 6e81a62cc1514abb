"""Every method's loss, forward and backward, beside a literal transcription of its formula.

    python benchmarks/methods.py                                    all methods at the sizes of experiment 9
    python benchmarks/methods.py --methods nst fsp wkd --steps 10
    python benchmarks/methods.py --device cuda --json results/benchmarks/methods.json

Both versions share networks, weights, images and the method's trained layers, run in turn in one process, in
float32, in the middle of the published 240 epochs; the networks' own passes are not timed. AB and FSP are
compared by the loss of their first stage. Memory is what a call needs at most beyond what was there before.
The images are synthetic and the weights untrained: neither changes a time.
"""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import Tensor, nn
from tqdm import tqdm

from benchmarks import literal_classic, literal_logits
from benchmarks.literal import ContrastiveImages
from benchmarks.literal_losses import Contrast, CrossLayerAttention
from benchmarks.parts import BATCH, EPOCHS, MIDDLE, NEGATIVES, benchmark_settings
from benchmarks.reading import in_words, what_is_read
from benchmarks.step import conditions, synthetic_data, write_report
from dataset.data import Data
from distiller_zoo import distiller_dict
from distiller_zoo.base import Distiller, Terms
from helper.arguments import Parser, positive_int
from helper.batch import Batch, Output
from helper.device import Compute, prepare
from helper.errors import run_script
from helper.timing import added_memory, alternate, count_flops, medians
from models import build_network, model_dict
from modreduce.build import build_group, plan_students
from modreduce.student import method_sum, named
from modreduce.teacher import Teacher, outputs
from reporting.published import by_number

METHODS = [name for name in distiller_dict if name not in distiller_dict.aliases()]
LITERAL = literal_classic.LITERAL | literal_logits.LITERAL
COLUMNS = "method         literal        ours   ratio       memory of both        flop     added"


class Measured:
    """A method of one student, on Outputs that are leaves of the graph of gradients.

    name: of the method; experiment: whose networks; device: where.
    """

    def __init__(self, name: str, number: int, device: torch.device):
        experiment = by_number(number)
        self.name, self.data = name, synthetic_data(50_000)
        settings = benchmark_settings(Compute(precision="fp32"), [name], BATCH)
        settings.options["beta"] = 1.0  # KD's own class has no weight beside -a
        teacher = Teacher(build_network(experiment.teacher, self.data.num_classes), experiment.teacher)
        plans = plan_students([name], [experiment.student], experiment.teacher, settings.options)
        parts = Data(self.data, self.data.train, None)
        group = build_group(plans, teacher, "none", parts, settings, device, "fp32").train()
        group.begin_epoch(MIDDLE, EPOCHS)
        (self.student,) = group.students
        self.method: Distiller = self.student.distiller
        self.batch = batch_of(BATCH, self.data.num_classes, self.method.views, device)
        with torch.no_grad():
            self.seen_s = as_leaves(outputs(self.student.network, self.batch))
            self.seen_t = outputs(teacher.network, self.batch)
        plain = sum(p.numel() for p in model_dict[experiment.student](num_classes=100).parameters())
        self.deployed = sum(p.numel() for p in self.student.network.parameters()) - plain
        self.trained = sum(p.numel() for p in self.student.trained_parameters()) - plain
        self._literal = literal_of(self)

    @property
    def stage(self) -> Callable[[Output, Output, Batch], Terms]:
        """What is timed: the method's loss, or that of its first stage where the other is 0."""
        return self.method.pretrain if self.name in literal_classic.PRETRAINED else self.method

    def ours(self) -> None:
        """The project's loss, forward and backward."""
        self._step(lambda: self.stage(self.seen_s, self.seen_t, self.batch))

    def literal(self) -> None:
        """The literal form, forward and backward."""
        self._step(lambda: self._literal(self.method, self.seen_s, self.seen_t, self.batch))

    def _step(self, forward: Callable[[], Terms]) -> None:
        for parameter in (*self.student.parameters(), *tensors_of(self.seen_s)):
            parameter.grad = None
        method_sum(named(forward())).backward()


def batch_of(size: int, classes: int, views: Iterable[str], device: torch.device) -> Batch:
    """Random images, and views of them."""
    made = torch.Generator().manual_seed(0)
    images, *others = (torch.randn(size, 3, 32, 32, generator=made).to(device) for _ in ("", *views))
    rows = torch.arange(size, device=device)
    return Batch(images, rows % classes, rows, dict(zip(views, others, strict=True)))


def tensors_of(output: Output) -> list[Tensor]:
    """All tensors of an Output, those of its views too."""
    own = [output.stem, *output.maps, *output.preact, output.embedding, output.logits]
    own += [] if output.averaged is None else [output.averaged]
    return own + [tensor for view in output.views.values() for tensor in tensors_of(view)]


def as_leaves(output: Output) -> Output:
    """The same values as leaves that ask for gradients."""
    output = output.detach()
    for tensor in tensors_of(output):
        tensor.requires_grad_()
    return output


def literal_of(measured: Measured) -> Callable[[Distiller, Output, Output, Batch], Tensor]:
    """The literal form of a method; CRD's and SemCKD's have weights of their own, of the same shapes."""
    student, teacher, device = measured.seen_s, measured.seen_t, measured.batch.images.device
    if measured.name == "crd":
        sizes = student.embedding.shape[1], teacher.embedding.shape[1]
        contrast = Contrast(*sizes, len(measured.data.train_images), NEGATIVES).to(device)
        images = ContrastiveImages(measured.data, NEGATIVES)

        def crd(method: Distiller, s: Output, t: Output, batch: Batch) -> Tensor:
            rows = torch.stack([torch.from_numpy(images.draw(index)) for index in batch.indices.tolist()])
            return contrast(s.embedding, t.embedding, batch.indices, rows.to(device))

        return crd
    if measured.name == "semckd":
        attention: nn.Module = CrossLayerAttention(student.maps, teacher.maps, BATCH).to(device)
        return lambda method, s, t, batch: attention(s.maps, t.maps)
    return LITERAL[measured.name]


def parser() -> Parser:
    """The flags of this benchmark."""
    flags = Parser(__doc__)
    add = flags.add_argument
    add("--experiment", type=int, default=9, choices=range(1, 16), metavar="N", help="1 to 15 (default 9)")
    add("--methods", nargs="+", choices=METHODS, default=METHODS, metavar="METHOD", help="default: all")
    add("--steps", type=positive_int, default=5, help="timed repeats of each version (default 5)")
    add("--json", type=Path, help="write everything that was measured there")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N (default auto)")
    return flags


def measure(name: str, number: int, steps: int, device: torch.device) -> dict:
    """What the report says of a method."""
    measured = Measured(name, number, device)
    calls = {"literal": measured.literal, "ours": measured.ours}
    seconds = alternate(calls, device, steps, warm_up=1)
    middle = medians(seconds)
    return {
        "seconds": seconds | {"medians": middle, "ratio": middle["literal"] / middle["ours"]},
        "memory_mib": {version: added_memory(call, device) for version, call in calls.items()},
        "gflop": count_flops(measured.ours) / 1e9,
        "parameters": {"trained": measured.trained, "deployed": measured.deployed},
        "reads": in_words(what_is_read(measured.stage, measured.seen_s, measured.seen_t, measured.batch)),
    }


def main() -> None:
    args = parser().parse_args()
    device, precision = prepare(Compute(device=args.device, precision="fp32"))
    report = conditions(args.experiment, device, precision)
    report |= {"batch_size": BATCH, "repeats": args.steps, "methods": {}}
    print(
        f"experiment {args.experiment}, batch {BATCH}, {report['device']}, medians of {args.steps}\n{COLUMNS}"
    )
    for name in (bar := tqdm(args.methods, leave=False)):
        bar.set_description(name)
        found = report["methods"][name] = measure(name, args.experiment, args.steps, device)
        tqdm.write(line_of(name, found))
    if args.json:
        write_report(report, args.json)


def line_of(name: str, found: dict) -> str:
    """A method's line of the table."""
    seconds, memory = found["seconds"]["medians"], found["memory_mib"]
    added = found["parameters"]
    return (
        f"{name:<10} {1000 * seconds['literal']:>8.1f} ms {1000 * seconds['ours']:>8.1f} ms "
        f"{found['seconds']['ratio']:>6.1f}x {memory['literal']:>6.0f} MiB {memory['ours']:>6.0f} MiB "
        f"{found['gflop']:>6.1f} GF {added['trained'] / 1e6:>6.2f} M"
    )


if __name__ == "__main__":
    run_script(main)
