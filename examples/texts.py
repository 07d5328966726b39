"""Texts: encode, split long ones into passages, search under several measures, save and load."""

import tempfile
from pathlib import Path

from kiyas.encode.collection import Collection

texts = {
    "tea": "Tea is made by pouring hot water over leaves. Black tea wants boiling water. Green tea wants it cooler. "
           "Steep it for three minutes, then take the leaves out.",
    "bread": "Bread needs flour, water, salt and time. Knead the dough until it is smooth. Let it rise overnight. "
             "Bake it in a very hot oven.",
    "bicycle": "A bicycle chain has to be clean before it is oiled. Wipe it with a cloth. Put a drop on every link.",
}

collection = Collection.build(texts.values(), "wordllama", "cosine", ids=list(texts), passage_tokens=20)
print(collection)
for measure in ("cosine", "euclidean", "manhattan"):
    for found in collection.search("how hot should the water be", k=1, measure=measure)[0]:
        print(f"{measure}: {found.id} ({found.score:.3f}) — {found.passage}")

with tempfile.TemporaryDirectory() as folder:
    collection.save(Path(folder) / "kitchen")
    again = Collection.load(Path(folder) / "kitchen")  # the encoder's name and version are checked
    print(again.search("repairing a bike", k=1)[0][0].id)
