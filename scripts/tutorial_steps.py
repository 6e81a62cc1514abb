"""The commands of docs/tutorial.md with the text between them, and what is shown of their outputs."""

import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from helper.files import folder_name

TEACHER, STUDENT = "torchvision:resnet18", "timm:test_resnet"
OPTIONAL = ("timm", "onnx", "onnxscript", "onnxruntime")  # sh scripts/setup.sh extra
PICTURE = "tutorial.png"
READ_BACK = """\
import numpy as np, onnxruntime, pathlib, timm, torch, PIL.Image
file = sorted(pathlib.Path("{pictures}/val").glob("*/*.png"))[-1]
picture = np.asarray(PIL.Image.open(file), np.float32).transpose(2, 0, 1)[None] / 255
logits, = onnxruntime.InferenceSession("{shipped}/model.onnx").run(None, {{"image": picture}})
network = timm.create_model("local-dir:{shipped}", pretrained=True).eval()
mean, std = (torch.tensor(network.pretrained_cfg[name]).view(3, 1, 1) for name in ("mean", "std"))
other = network((torch.from_numpy(picture) - mean) / std).detach().numpy()
classes = open("{shipped}/labels.txt").read().splitlines()
print(file, "is", classes[logits.argmax()], "and", classes[other.argmax()], abs(logits - other).max())
"""


@dataclass(frozen=True)
class Scale:
    """How large everything is: the data set, `write`: its pictures, `mirror`: the flag against mirroring;
    epochs of teacher and students, pictures and batch of a student, pictures that calibrate 8 bits, the
    student's seeds, the formats that are exported, and the flag against timing them.
    """

    dataset: str
    write: str
    mirror: str
    teacher_epochs: int
    student_epochs: int
    pictures: int
    batch: int
    calibrating: int
    seeds: tuple[int, ...] = (1, 2, 3)
    formats: str = "safetensors pt2 onnx"
    latency: str = ""

    def shortened(self) -> "Scale":
        """The same in seconds: for a test, not for the numbers."""
        return replace(
            self,
            write=f"{self.write} --train 4 --val 2",
            teacher_epochs=1,
            student_epochs=1,
            pictures=20,
            calibrating=20,
            seeds=(1,),
            formats="safetensors onnx",
            latency=" --no_latency",
        )


SCALES = {
    "digits": Scale("digits", "--dataset digits", " --no_flip", 5, 40, 50, 10, 100),
    "cifar100": Scale("cifar100", "--dataset cifar100 --classes 10", "", 5, 40, 500, 50, 200),
}


@dataclass(frozen=True)
class Step:
    """A part of the tutorial: its heading, the text before its commands, and these, as words after `python`.

    Those of `first` run one after the other, then those of `then`, two at a time. program: Python that is
    run after them; shown: lines of a command's output that are shown from its beginning and its end.
    """

    title: str
    text: str
    first: tuple[str, ...] = ()
    then: tuple[str, ...] = ()
    program: str = ""
    shown: tuple[int, int] = (3, 6)


@dataclass(frozen=True)
class Places:
    """Where things are below the folder of the tutorial."""

    save: Path

    def run(self, script: str, name: str, seed: int) -> Path:
        """A run's folder."""
        return self.save / script / f"{name}_trial_{seed}"

    def alone(self, seed: int) -> Path:
        """The run of a student alone."""
        return self.run("train_teacher", f"{folder_name(STUDENT)}_imagefolder", seed)

    def taught(self, seed: int) -> Path:
        """The run of the students with their teacher."""
        names = f"S_{folder_name(STUDENT)}_T_{folder_name(TEACHER)}_imagefolder_kd_fitnet_wavg"
        return self.run("train_modreduce", names, seed)

    def teacher(self, epochs: int) -> Path:
        """The teacher's checkpoint."""
        return self.save / "models" / f"{folder_name(TEACHER)}_imagefolder" / f"ckpt_epoch_{epochs}.pth"


def steps(save: Path, scale: Scale, picture: Path, data_folder: str) -> list[Step]:
    """All of the tutorial, in its order; picture: where the curves go; data_folder: of CIFAR-100."""
    places = Places(save)

    def quoted(path: Path | str) -> str:
        return shlex.quote(str(path))

    pictures, shipped, teacher = save / "pictures", save / "shipped", places.teacher(scale.teacher_epochs)
    recipe = (
        f"--dataset imagefolder --data_folder {quoted(pictures)} --image_size 32 --val_resize 32 "
        f"--augment crop_pad{scale.mirror} --workers 0 --schedule cosine "
        f"--save_folder {quoted(save)}"
    )
    of_student = (
        f"--train_size {scale.pictures} --epochs {scale.student_epochs} --batch_size {scale.batch} "
        f"--clip_grad 5 {recipe}"
    )
    first, *others = scale.seeds
    source = "" if scale.dataset == "digits" else f" --data_folder {quoted(data_folder)}"

    def again(script: str, run: Path) -> tuple[str, ...]:
        return tuple(
            f"{script} --config {quoted(run / 'args.json')} --seed {seed} --trial {seed}" for seed in others
        )

    kd = quoted(places.taught(first) / "kd_last.pth")
    return [
        Step(
            "Pictures",
            "A folder for each class, in `train` and in `val`: this is all that `--dataset imagefolder` "
            "asks for. Yours may hold JPEGs of any size.",
            (f"-m scripts.write_pictures {quoted(pictures)} {scale.write}{source}",),
        ),
        Step(
            "A teacher",
            "torchvision's ResNet-18, from scratch, on all training pictures. They are small: "
            "evaluation sees them whole (`--val_resize`), crops are of the padded picture, and no "
            "further process has to read them (`--workers 0`)."
            + (" Nothing is mirrored: a mirrored 2 is not a 2." if scale.mirror else ""),
            (f"train_teacher.py --model {TEACHER} --epochs {scale.teacher_epochs} --batch_size 32 "
             f"--learning_rate 0.01 {recipe}",),
        ),
        Step(
            "The student alone",
            f"timm's `{STUDENT.partition(':')[2]}`, a thirtieth of the teacher's parameters, and "
            f"`--train_size {scale.pictures}`: suppose that of the teacher's pictures no more than these, as "
            "many of each class, are at hand when the student is made. Further seeds repeat the run's own "
            "settings. (The command calls any network that learns alone a teacher.)",
            (f"train_teacher.py --model {STUDENT} --seed {first} {of_student}",),
            again("train_teacher.py", places.alone(first)),
        ),
        Step(
            "The students with their teacher",
            "Two of them on the same pictures, one taught by the teacher's answers (`kd`), one by its "
            "features too (`fitnet`), which also learn from each other (`--online wavg`). `--beta` and "
            "`--multiplier` make each loss a plain sum of cross-entropy, KD and FitNet: ModReduce's own "
            "factors, 10 and 100, are for 240 epochs of CIFAR-100, and too large for so short a run.",
            (f"train_modreduce.py --path_t {quoted(teacher)} --model_s {STUDENT} --distill kd fitnet "
             f"--beta 0 1 --multiplier 2 3 --online wavg --seed {first} {of_student}",),
            again("train_modreduce.py", places.taught(first)),
            shown=(5, 7),
        ),
        Step(
            "What came of it",
            "`report.md` has the table over the seeds, the picture the curves of the first; both are below.",
            (f"report.py {quoted(save)} --out {quoted(save / 'report')}",
             f"report.py --curves {quoted(places.alone(first))} {quoted(places.taught(first))} "
             f"--out {quoted(picture)}"),
        ),
        Step(
            "Class by class",
            "The student that KD taught, by its last checkpoint, with a table and a picture of what it "
            "takes for what.",
            (f"evaluate.py --path {kd} --per_class {quoted(save / 'classes')} --dataset imagefolder "
             f"--data_folder {quoted(pictures)} --workers 0",),
        ),
        Step(
            "Shipped",
            "In all formats, each held to the network on the test pictures, and timed beside the teacher.",
            (f"export.py --path {kd} --teacher {quoted(teacher)} --formats {scale.formats} "
             f"--int8 {scale.calibrating} --dataset imagefolder --data_folder {quoted(pictures)} --workers 0 "
             f"--out {quoted(shipped)}{scale.latency}",),
            shown=(14, 4),
        ),
        Step(
            "Read by others",
            "ONNX Runtime runs `model.onnx`, timm reads `model.safetensors`; neither knows this project. The "
            "number is the largest difference of their logits.",
            program=READ_BACK.format(shipped=shipped, pictures=pictures),
        ),
        Step(
            "Used",
            "",
            (f"predict.py {quoted(pictures / 'val')} --path {quoted(shipped / 'model.onnx')} --top 2 "
             f"--workers 0 --out {quoted(save / 'predictions.csv')}",),
        ),
    ]  # fmt: skip
