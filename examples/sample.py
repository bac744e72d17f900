# Run it as a script, or cell by cell in an editor or in Jupyter (jupytext opens it as a notebook).
# %% [markdown]
# # Pictures from prompts
# The model that comes with ldmlab draws scenes of coloured shapes, on a laptop in seconds.

# %%
import numpy as np

import ldmlab

model = ldmlab.load("shapes/dit")
print(model)

# %% [markdown]
# One picture for each prompt. Picture i draws its noise from (seed, i), so the same call gives the same bytes.

# %%
prompts = ["a red star", "a small blue circle above a big green square", "a yellow triangle left of a purple star"]
pictures = model.sample(prompts, seed=0, steps=20)
pictures.save("runs/examples/sample")
pictures

# %% [markdown]
# Guidance leads towards the prompt: 1 is neutral, more is closer to the words. The same four seeds at each scale, a row
# for each: lists of pictures are added, and laid out in a sheet.

# %%
scales = [model.sample(prompts[1], n=4, seed=1, steps=20, guidance_scale=scale) for scale in (1.0, 2.0, 4.0)]
(scales[0] + scales[1] + scales[2]).sheet(columns=4).save("runs/examples/guidance.png")

# %% [markdown]
# Samplers lead from the same noise to pictures of the same kind by different ways; `ldmlab sample --help sampler` lists
# them. Each picture says how it was drawn.

# %%
ways = [model.sample("a red star", seed=2, steps=10, sampler=name)[0] for name in ("ddim", "dpm_solver_2m", "heun")]
for picture in ldmlab.Pictures(ways):
    print(picture.size, picture.info["Description"], picture.info["ldmlab"][:60], "...")

# %% [markdown]
# Where pictures look while they are drawn: the share of attention that each place pays to a phrase. Rows are counted
# from the top, so the star's maps should lie above the circle's.

# %%
maps = model.attention("a red star above a blue circle", n=2, seed=3, steps=20, words=["red star", "blue circle"])
rows = np.arange(model.image_size)
for phrase, share in zip(maps.words, maps.numpy().mean(axis=0), strict=True):
    print(f"{phrase}: the middle of its attention is at row {(share.sum(axis=1) * rows).sum() / share.sum():.0f}")
maps.save("runs/examples/attention")
maps
