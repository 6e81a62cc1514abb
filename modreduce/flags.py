"""The flags of the training scripts; nothing here imports torch, so that --help and wrong words answer at
once.
"""

import argparse
from collections.abc import Sequence
from typing import Any

from dataset import dataset_names
from distiller_zoo import distiller_dict
from helper.arguments import Parser, module_list, non_negative_float, path, path_or_none
from helper.errors import UserError
from helper.registry import Registry
from helper.signature import class_constant
from models import OTHER_NAMES, check_model, is_foreign, known_networks, model_dict
from modreduce import ensemble_dict

MODULES = "MODULE,..."
TAPS = "the modules that give {} maps, in order (of networks of other code; default: chosen)"
NO_TEACHER = "none"
OF_PICTURES = "pictures from files (--dataset imagefolder, torchvision:NAME)"
OF_TRAINING = ("batch_size", "train_size", "augment", "no_flip", "cache", "cache_folder")
PICTURES = "dataset.picture_settings:PictureSettings"
RECORDS = {
    "data": "dataset.data:DataSettings",
    OF_PICTURES: PICTURES,
    "training": "engine.optimizer:Recipe",
    "run": "engine.run_folder:Place",
    "device": "helper.device:Compute",
}


def add_run_flags(parser: Parser) -> None:
    """Data, recipe, run folder and device: what every training script asks."""
    for title, record in RECORDS.items():
        parser.add_flags(record, title, choices={"dataset": dataset_names})
    parser.add_config("run")
    parser.add_names_of_others()


def add_test_data_flags(parser: Parser) -> None:
    """The data of commands that look at networks, see `dataset.data.load_test_data`."""
    parser.add_flags(RECORDS["data"], "data", without=OF_TRAINING, choices={"dataset": dataset_names})
    parser.add_flags(PICTURES, OF_PICTURES, without=OF_TRAINING)


def add_network_flags(parser: Parser, many_students: bool = False) -> None:
    """What can be asked of students' networks of other code."""
    group = parser.add_argument_group(f"networks of other code ({OTHER_NAMES})")
    several = {"nargs": "+"} if many_students else {}
    more = ", one list or one per student (none: chosen)" if many_students else ""
    text = TAPS.format("the student's") + more
    group.add_argument("--taps_s", type=module_list, metavar=MODULES, help=text, **several)
    add_init(group, "--init_s", many_students)
    add_small_stem(group)


def add_init(group: argparse._ActionsContainer, flag: str, many_students: bool = False) -> None:
    """--init or --init_s."""
    several = {"nargs": "+"} if many_students else {}
    more = "; one, or one per student (none: drawn)" if many_students else ""
    text = f"begin with this local file's weights; the classifier's only for as many classes{more}"
    group.add_argument(flag, type=path_or_none, metavar="FILE", help=text, **several)


def add_small_stem(group: argparse._ActionsContainer) -> None:
    """--small_stem."""
    text = "for small images: first strided convolution to stride 1, first max pooling away"
    group.add_argument("--small_stem", action="store_true", help=f"of networks of other code, {text}")


def add_teacher_flags(parser: Parser, many_students: bool = False) -> None:
    """The teacher and the weights of the losses; with many students beta may be one number per student."""
    group = parser.add_argument_group("distillation")
    alone = "; none: one student per --model_s, and no teacher" if many_students else ""
    group.add_argument("--path_t", type=path, required=True, help=f"the teacher's checkpoint{alone}")
    if many_students:
        parser.null_words["path_t"] = NO_TEACHER
    group.add_argument("--model_t", help="its network, where the checkpoint does not say")
    group.add_argument("--taps_t", type=module_list, metavar=MODULES, help=TAPS.format("its"))
    for short, name, what in (
        ("-r", "--gamma", "cross-entropy"),
        ("-a", "--alpha", "KD"),
        ("-b", "--beta", "the method"),
    ):
        group.add_argument(
            short,
            name,
            type=non_negative_float,
            nargs="+" if many_students and name == "--beta" else None,
            help=f"weight of {what} (default: what the method was published with)",
        )


class _List(argparse.Action):
    """--list: print the zoo, and end."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any):
        from distiller_zoo.catalogue import entries, table

        print(table(entries()))
        parser.exit()


def add_method_flags(parser: Parser) -> None:
    """The flags of every offline method, each method's in a group of its own."""
    parser.add_argument(
        "--list",
        nargs=0,
        action=_List,
        default=argparse.SUPPRESS,
        help="print the methods as a table, and end",
    )
    for names, owner in owners_of(distiller_dict).items():
        parser.add_flags(owner, f"{label_of(owner)} (--distill {' or '.join(names)})", names)


def add_ensemble_flags(parser: Parser) -> None:
    """When and how strongly students learn from each other, and the flags of every ensemble."""
    for names, owner in reversed(owners_of(ensemble_dict).items()):
        parser.add_flags(owner, "online learning", names)


def owners_of(registry: Registry) -> dict[tuple[str, ...], str | type]:
    """Whose parameters are flags, by the names that they are registered under."""
    names: dict[str | type, list[str]] = {}
    for name in registry:
        names.setdefault(registry.owner(name), []).append(name)
    return {tuple(found): owner for owner, found in names.items()}


def label_of(owner: str | type) -> str:
    """A method's label, without importing it."""
    if isinstance(owner, str):
        return class_constant(owner, "label") or owner.partition(":")[2]
    return owner.label or owner.__name__


def check_trainable(flag: str, names: Sequence[str], small_stem: bool = False) -> None:
    """Raise UserError, which lists the networks, unless the names are those of networks of one piece.

    small_stem: --small_stem, which one of them at least has to be able to follow.
    """
    for name in names:
        if name not in model_dict and not is_foreign(name):
            raise UserError(f"{flag} {name} is unknown; the networks are {known_networks()}")
        check_model(flag, name)
    if small_stem and not any(map(is_foreign, names)):
        raise UserError(
            f"--small_stem is for networks of other code, and {', '.join(names)} of models/ have small stems "
            "already: leave it out"
        )
