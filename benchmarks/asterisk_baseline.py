"""How far linear models get at classifying English and Spanish prompts.

    python benchmarks/asterisk_baseline.py --download

Logistic regression on mean and deviation over time of 40 log-mel bands, and on the mean of the
quietest tenth of the frames alone: that much the noise of the recordings gives away. The splits are
those of the recipe `asterisk-ds-cnn`.
"""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from zoo_models.layers import LogMelSpectrogram
from zoo_recipes.datasets.loading import open_dataset
from zoo_recipes.datasets.reading import read_split
from zoo_recipes.recipe import resolve_recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--download", action="store_true")
    arguments = parser.parse_args()
    recipe = resolve_recipe("asterisk-ds-cnn")
    data = recipe.dataset
    builder = open_dataset(data.name, download=arguments.download)
    spectrogram = LogMelSpectrogram(8000, frame_length=320, frame_step=160)

    def read(split):
        options = {"input": data.input, "label": data.label, "steps": recipe.preprocessing}
        examples = read_split(builder, split, **options)
        clips = [np.asarray(spectrogram(raw[np.newaxis]))[0] for raw in examples.raws]
        return clips, examples.labels

    train, test = read(data.train), read(data.test)
    for name, features in (("mean and deviation", moments), ("quiet frames alone", quiet)):
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        model.fit([features(bands) for bands in train[0]], train[1])
        score = model.score([features(bands) for bands in test[0]], test[1])
        print(f"{name}: accuracy {score:.4f} of {len(test[1]):,} pieces")


def moments(bands):
    return np.hstack([bands.mean(axis=0), bands.std(axis=0)])


def quiet(bands):
    order = np.argsort(bands.mean(axis=1))
    return bands[order[: max(1, len(bands) // 10)]].mean(axis=0)


if __name__ == "__main__":
    main()
