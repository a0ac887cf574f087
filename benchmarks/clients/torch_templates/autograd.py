"""What autograd sees of an update, loss scaling, inference mode, and updates within a backward pass."""

import torch
from torch import Tensor, nn
from torch_templates.judge import Side
from torch_templates.problems import Affine, net, shown, slopes, state_of
from torch_templates.template import seeded, template


@template(ways=("default", "flags False", "fused=True"), loop=True)
def seen_by_autograd(side: Side) -> None:
    """A backward pass through weights that an update has changed is refused; the version of a weight moves."""
    problem = Affine(side)
    optimizer = side.make(problem.params)
    for k in range(3):
        hidden = problem.matrix.mv(problem.x).requires_grad_() if k else problem.matrix.mv(problem.x)
        loss = (hidden * problem.matrix.sum() + problem.bias).pow(2).sum()
        problem.gradients(optimizer)
        before = [param._version for param in problem.params]
        optimizer.step()
        side.see("versions move", [p._version > version for p, version in zip(problem.params, before, strict=True)])
        with side.attempt("backward through the old weights"):
            loss.backward()


@template(ways=("default", "flags False", "fused=True"), times=5)
def loss_scaling(side: Side) -> None:
    """A GradScaler: a step whose gradients overflow is left out, and the scale falls."""
    problem = Affine(side)
    optimizer = side.make(problem.params)
    scaler = torch.amp.GradScaler(side.device, init_scale=2.0**8, growth_interval=2)
    for k in range(6):
        optimizer.zero_grad()
        scaler.scale(problem.loss()).backward()
        if k in (0, 3):
            problem.matrix.grad[0, 0] = torch.inf
        if k == 4:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(problem.params, 1.0)
        scaler.step(optimizer)
        scaler.update()
        shown(side, optimizer, problem.params, f"update {k}")
        side.see("scale", scaler.get_scale())


@template(ways=("fused=True",), variants={"": {"scaled": False}, "scaled": {"scaled": True}})
def told_of_infinity(side: Side, *, scaled: bool) -> None:
    """A fused update that is told of an overflow does nothing and counts nothing."""
    params = [torch.ones(1, dtype=side.dtype, device=side.device) for _ in range(5)]
    for param in params:
        param.grad = torch.ones_like(param)
    optimizer = side.make(params)
    optimizer.grad_scale = torch.ones(1, device=side.device) if scaled else None
    optimizer.found_inf = torch.ones((), device=side.device)
    optimizer.step()
    side.see("weights", params)
    side.see("counts", [state_of(optimizer, param).get("step") for param in params])


@template(variants={"made inside": {"inside": True}, "made outside": {"inside": False}})
def inference_mode(side: Side, *, inside: bool) -> None:
    """Updates within torch.inference_mode, of weights made there or not; then one outside of it."""
    with torch.inference_mode(inside):
        param: Tensor = seeded(20, of=side)
    optimizer = side.make([param])
    with torch.inference_mode():
        for k in range(2):
            slopes([param], k)
            optimizer.step()
            shown(side, optimizer, [param], f"update {k}")
    slopes([param], 2)
    optimizer.step()
    shown(side, optimizer, [param], "update 2")


@template(ways=("default", "fused=True"), times=5)
def stepped_in_backward(side: Side) -> None:
    """An optimizer for each parameter, stepped by the hook that runs as soon as its gradient is there."""
    made = net(side)
    optimizers = {param: side.make([param]) for param in made.parameters()}

    def hook(param: Tensor) -> None:
        optimizers[param].step()
        optimizers[param].zero_grad()

    for param in optimizers:
        param.register_post_accumulate_grad_hook(hook)
    for k in range(4):
        made(seeded(4, 2, of=side)).sum().backward()
        for param, optimizer in optimizers.items():
            shown(side, optimizer, [param], f"update {k}")
