"""Checkpoints: a run saved whole or not at all, resumed with the same numbers or refused, forked at another rate.

save(folder, step, model=model, optimizer=optimizer)  ─►  folder/000012-step3000/
resume(folder, model=model, optimizer=optimizer)      ◄─
fork(folder, into=child, lr=1e-4, model=model, optimizer=optimizer)
"""

from tapered.checkpoint.change import Change as Change
from tapered.checkpoint.data import Batches as Batches
from tapered.checkpoint.describing import Described as Described
from tapered.checkpoint.describing import describe as describe
from tapered.checkpoint.forked import placed as placed
from tapered.checkpoint.forking import begin as begin
from tapered.checkpoint.forking import fork as fork
from tapered.checkpoint.lock import release as release
from tapered.checkpoint.reading import Origin as Origin
from tapered.checkpoint.reading import Resumed as Resumed
from tapered.checkpoint.resuming import resume as resume
from tapered.checkpoint.saving import save as save
from tapered.checkpoint.torch_files import load_torch as load_torch
from tapered.files.errors import CheckpointError as CheckpointError
from tapered.files.errors import CheckpointWarning as CheckpointWarning
