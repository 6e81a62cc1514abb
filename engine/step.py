"""One step of training, run as it is or replayed as one CUDA graph."""

from collections.abc import Hashable

import torch
from torch import Tensor

from engine.dot import DOT
from engine.task import Logged, Task
from helper.batch import Batch

EAGER_STEPS = 3


class Step:
    """Forward, backward, clipping, and the optimizer's step, for all students at once.

    Call it with a Batch; it returns what the task logs, on the device, and never waits for it. DOT gets the
    gradient of cross-entropy apart from that of all else, by two passes over one graph.
    """

    def __init__(self, task: Task, optimizer: torch.optim.Optimizer, clip_grad: float = 0.0):
        self.task, self.optimizer, self.clip_grad = task, optimizer, clip_grad
        self.dot = optimizer if isinstance(optimizer, DOT) else None

    def __call__(self, batch: Batch) -> Logged:
        self.optimizer.zero_grad(set_to_none=True)
        self.task.apart = None if self.dot is None else []
        loss, logged = self.task(batch)
        if loss.requires_grad:  # in a first stage all students of a rank may have to wait
            self._backward(loss)
        if self.clip_grad:
            self._clip()
        self.optimizer.step()
        self.task.after_step()
        return logged

    def _backward(self, loss: Tensor) -> None:
        if self.dot is None:
            loss.backward()
            return
        loss.backward(retain_graph=True)
        self.dot.keep_distillation()
        own = [(term, stand_in.grad) for stand_in, term in self.task.apart if stand_in.grad is not None]
        self.task.apart = None
        if own:
            torch.autograd.backward(*zip(*own, strict=True))

    def _clip(self) -> None:
        """Clip the gradient of each student, and of the ensemble, over all its groups of parameters."""
        if self.dot is not None:
            self.dot.clip(self.clip_grad)
            return
        found: dict[str, list[Tensor]] = {}
        for group in self.optimizer.param_groups:
            found.setdefault(group["name"], []).extend(group["params"])
        for parameters in found.values():
            torch.nn.utils.clip_grad_norm_(parameters, self.clip_grad)


class GraphedStep:
    """The same step, captured once as a CUDA graph and then replayed: one launch instead of thousands.

    The first steps run as they are, on a side stream, as capturing wants it; batches of another size than the
    first always do. When the task says that a step does something else now, it is captured anew. What the
    step draws must come from the default CUDA generator or from one of the task's.
    """

    def __init__(self, step: Step):
        self.step = step
        self._graph: torch.cuda.CUDAGraph | None = None
        self._batch: Batch | None = None
        self._logged: Logged | None = None
        self._eager_steps = 0
        self._form: Hashable = None

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """The step's own."""
        return self.step.optimizer

    def __call__(self, batch: Batch) -> Logged:
        if self._batch is None or self._form != self.step.task.form:
            self._batch, self._form = batch.map(torch.empty_like), self.step.task.form
            self._graph, self._eager_steps = None, 0
        if batch.images.shape != self._batch.images.shape:
            return self.step(batch)
        if self._graph is None:
            if self._eager_steps < EAGER_STEPS:
                return self._run_aside(batch)
            self._capture()
        for static, new in zip(self._batch.tensors(), batch.tensors(), strict=True):
            static.copy_(new)
        self._graph.replay()
        return self._logged

    def _run_aside(self, batch: Batch) -> Logged:
        self._eager_steps += 1
        stream, main = torch.cuda.Stream(), torch.cuda.current_stream()
        stream.wait_stream(main)
        with torch.cuda.stream(stream):
            logged = self.step(batch)
        main.wait_stream(stream)
        return logged

    def _capture(self) -> None:
        """Record a step without running it; gradients are then allocated in the graph's own memory."""
        self._graph = torch.cuda.CUDAGraph()
        for generator in self.step.task.generators():
            self._graph.register_generator_state(generator)
        self.step.optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(self._graph):
            self._logged = self.step(self._batch)
