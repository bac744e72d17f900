# Run it as a script, or cell by cell in an editor or in Jupyter (jupytext opens it as a notebook).
# %% [markdown]
# # Change a part of a picture and keep the rest of it
# Four ways, from words alone to a painted mask.

# %%
import numpy as np

import ldmlab

model = ldmlab.load("shapes/dit")
side = model.image_size

# %% [markdown]
# ## Other words
# Prompt-to-prompt draws both prompts side by side from the same noise; the attention maps of the first steer the
# second, so that what the words share stays where it was. Without that control, the other word changes the whole
# picture.

# %%
source, target = "a big yellow triangle", "a big yellow circle"
controlled = model.edit(source, target, n=4, seed=0, steps=30)
free = model.edit(source, target, n=4, seed=0, steps=30, method="fixed_seed")
for name, edits in (("prompt-to-prompt", controlled), ("the same seed alone", free)):
    moved = np.abs(edits.numpy().astype(np.float32) - edits.before.numpy()).mean()
    print(f"{name}: pixels change by {moved:.1f} of 255")
controlled.save("runs/examples/edit")
controlled

# %% [markdown]
# How much of the way the maps steer is `tau`; a sweep gives one row for each value.

# %%
source, target = "a red star above a blue circle", "a green star above a blue circle"
sweep = model.edit(source, target, seed=0, steps=30, tau_grid=[0.0, 0.4, 0.8])
for title, row in zip(sweep.titles, sweep.rows, strict=True):
    print(title, row)
sweep

# %% [markdown]
# ## A picture of yours
# Anything that Pillow opens, or an array. It is inverted first: noise is found from which the model draws it.

# %%
photo = model.sample(source, seed=5, steps=30)[0]  # stands for a photo
inverted = model.edit(source, target, image=photo, steps=30, inversion="direct")
print(*inverted.notes, sep="\n")
inverted

# %% [markdown]
# ## A mask
# What is True is drawn anew, whatever the model; all other pixels are the picture's, to the last bit.

# %%
mask = np.zeros((side, side), dtype=bool)
mask[: side // 2] = True
other = "a yellow triangle above a blue circle"
filled = model.edit(target=other, image=photo, mask=mask, method="inpaint", n=4, steps=30)
assert all((np.asarray(picture)[~mask] == np.asarray(photo)[~mask]).all() for picture in filled)
filled

# %% [markdown]
# ## Strokes
# SDEdit noises a picture part of the way and denoises it under a prompt: the layout of a few coloured patches stays,
# and becomes what the prompt says. The more strength, the freer.

# %%
strokes = np.full((side, side, 3), 40, dtype=np.uint8)
strokes[side // 8 : side // 2, side // 4 : side // 2] = (200, 30, 30)
drawn = model.edit(target="a red star", image=strokes, method="sdedit", seed=0, steps=30, strength_grid=[0.4, 0.6, 0.8])
drawn.save("runs/examples/strokes")
drawn
