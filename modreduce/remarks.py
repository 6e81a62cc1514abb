"""What is worth a warning about the size of students' methods."""

from collections.abc import Sequence

from modreduce.student import Student
from modreduce.teacher import Teacher

LARGEST_TABLES = 1 << 29  # bytes


def warnings_of_size(students: Sequence[Student], teacher: Teacher | None) -> list[str]:
    """A warning of each method that is larger than the teacher, or keeps large tables."""
    return _larger_than_the_teacher(students, teacher) + _large_tables(students)


def _larger_than_the_teacher(students: Sequence[Student], teacher: Teacher | None) -> list[str]:
    """A warning of each method that trains more weights of its own than the teacher has."""
    found = []
    for student in students:
        if student.distiller is None or teacher is None:
            continue
        added = sum(p.numel() for p in student.distiller.parameters() if p.requires_grad)
        has = sum(p.numel() for p in teacher.network.parameters())
        if added > has:
            flag = student.distiller.size_flag
            found.append(
                f"warning: {student.plan.method} trains {added:,} parameters beside {student.name}, more "
                f"than the {has:,} of the teacher" + (f" ({flag} makes them fewer)" if flag else "")
            )
    return found


def _large_tables(students: Sequence[Student]) -> list[str]:
    """A warning of each method that keeps much beside its weights, as a value for all pairs of classes."""
    found = []
    for student in students:
        kept = sum(b.nbytes for b in student.distiller.buffers()) if student.distiller is not None else 0
        if kept > LARGEST_TABLES:
            found.append(
                f"warning: {student.plan.method} keeps {kept / 2**20:,.0f} MB of tables beside {student.name}"
            )
    return found
