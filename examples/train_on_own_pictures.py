# Run it as a script, or cell by cell in an editor or in Jupyter (jupytext opens it as a notebook).
# %% [markdown]
# # A model of pictures of your own
# From a folder of JPEG, PNG or WebP files to a model that draws such pictures: shards, an autoencoder, a Diffusion
# Transformer, samples, figures and an edit. `PICTURES` names the folder; pictures of one kind in each subfolder make
# a model of classes. The lengths suit some thousands of pictures on a GPU; `STEPS=50` tries everything out in
# minutes.

# %%
import os
from pathlib import Path

import ldmlab

PICTURES = Path(os.environ.get("PICTURES", "my_pictures"))
STEPS = int(os.environ.get("STEPS", "30000"))
SIZE = int(os.environ.get("SIZE", "64"))
OUTPUT = Path(os.environ.get("OUTPUT", "runs/own"))

# %% [markdown]
# ## Shards
# Pictures go to tar files once, labelled with the number of their folder; a tenth is held out. What is damaged is
# skipped, counted and named.

# %%
classes = sorted(folder.name for folder in PICTURES.iterdir() if folder.is_dir())
print(f"{len(classes)} classes: {', '.join(classes)}")
data = ldmlab.make_dataset("folder", OUTPUT / "shards", folder=PICTURES, classes=True, image_size=SIZE)

# %% [markdown]
# ## The autoencoder
# The diffusion model works on latents, so an autoencoder comes first. Its layout follows from the size of the
# pictures. How well it returns held-out pictures is what the second model can reach at best.

# %%
common = {
    "data.path": data,
    "data.image_size": SIZE,
    "trainer.max_steps": STEPS,
    "trainer.val_check_interval": STEPS,
    "scheduler.warmup_steps": min(500, STEPS // 10),
}
autoencoder = ldmlab.train("experiment=own/autoencoder", {**common, "output_dir": OUTPUT / "autoencoder"})
print(autoencoder.model.evaluate(data, n=64))

# %% [markdown]
# ## The diffusion model
# A Transformer of the class numbers. `min_psnr` is the least that the autoencoder has to reach before a run begins;
# 20 dB is the default, and a trial of a few steps sets it to 0.

# %%
run = ldmlab.train(
    "experiment=own/classes",
    {
        **common,
        "autoencoder_ckpt": autoencoder.ckpt,
        "conditioner.classes": len(classes),
        "output_dir": OUTPUT / "model",
        "min_psnr": 20 if STEPS > 1000 else 0,
    },
)
print(run)

# %% [markdown]
# ## Samples and figures
# Four of each class, and the distance to held-out pictures.

# %%
model = run.model
numbers = list(range(len(classes)))
samples = model.sample(numbers, n=4 * len(numbers), seed=0, steps=20)
samples.save(OUTPUT / "samples")
print(model.evaluate(data, n=64, steps=20))
samples

# %% [markdown]
# ## Edit one of your pictures
# SDEdit noises it half of the way and denoises it as another class: its layout stays.

# %%
picture = next(path for path in sorted(PICTURES.rglob("*")) if path.suffix.lower() in (".jpg", ".png", ".webp"))
edited = model.edit(target=str(numbers[-1]), image=picture, method="sdedit", strength=0.5, steps=20)
edited.save(OUTPUT / "edited")
edited
