"""What else is in a checkpoint of latent diffusion: the prompt model and the table of classes."""

from __future__ import annotations

from ldmlab.conditioners.class_label import ClassLabel
from ldmlab.conditioners.text import TextTransformer
from ldmlab.conditioners.tokenizer import read_wordpiece, to_tensor
from ldmlab.interop.family import Component, Family, ImportHints, Parts, Settings, count, prefixed
from ldmlab.interop.mapping import Link, Rules, renamed
from ldmlab.interop.tensors import Tensors

HEAD_WIDTH = 64
TOKENIZER = "_extra_state"

BERT: Rules = (
    (r"^tokens\.", "transformer.token_emb."),
    (r"^positions$", "transformer.pos_emb.emb.weight"),
    (r"^norm\.", "transformer.norm."),
)

WITHOUT_NULL = 1000
"""Rows of the class table of the public LDM-8: ImageNet's classes and none for "no class"."""


def _block_rules(depth: int) -> Rules:
    """Attention and MLP of a block are two layers of theirs, each a norm and a function."""
    rules = []
    for block in range(depth):
        attention, mlp = (f"transformer.attn_layers.layers.{2 * block + half}." for half in (0, 1))
        rules += [
            (rf"^blocks\.{block}\.attention_norm\.", f"{attention}0."),
            (rf"^blocks\.{block}\.attention\.", f"{attention}1."),
            (rf"^blocks\.{block}\.mlp_norm\.", f"{mlp}0."),
            (rf"^blocks\.{block}\.mlp\.0\.", f"{mlp}1.net.0.0."),
            (rf"^blocks\.{block}\.mlp\.2\.", f"{mlp}1.net.2."),
        ]
    return rules


def _bert_table(parts: Parts) -> list[Link]:
    component = parts["conditioner"]
    names = [name for name in component.outline.state_dict() if name != TOKENIZER]
    return prefixed("conditioner", renamed(names, (*BERT, *_block_rules(component.setting("depth")))))


def _infer_bert(tensors: Tensors, settings: Settings, hints: ImportHints) -> Parts:
    """Its words are in no checkpoint: they are those of bert-base-uncased."""
    words = hints.ask("tokenizer")
    if words is None:
        raise ValueError(
            f"path={tensors.source}: this model reads prompts in the words of bert-base-uncased, which the file lacks; "
            "give tokenizer=vocab.txt, a word a line"
        )
    vocabulary, width = tensors.shapes["transformer.token_emb.weight"]
    tokenizer = read_wordpiece(words)
    if tokenizer.get_vocab_size() != vocabulary:
        raise ValueError(f"tokenizer={words}: has {tokenizer.get_vocab_size()} words and the model {vocabulary}")
    bert = {
        "vocabulary": vocabulary,
        "length": tensors.shapes["transformer.pos_emb.emb.weight"][0],
        "width": width,
        "depth": count(tensors, "transformer.attn_layers.layers.{}.0.weight") // 2,
        "heads": tensors.shapes["transformer.attn_layers.layers.0.1.to_q.weight"][0] // HEAD_WIDTH,
        "head_width": HEAD_WIDTH,
        "qkv_bias": False,
        "mask_padding": False,
        "pooled": False,
    }
    return {"conditioner": Component(TextTransformer, bert, constants={TOKENIZER: to_tensor(tokenizer)})}


def _infer_classes(tensors: Tensors, settings: Settings, hints: ImportHints) -> Parts:
    rows, width = tensors.shapes["embedding.weight"]
    null_class = rows != WITHOUT_NULL
    settings = {"classes": rows - null_class, "width": width, "as_context": True, "null_class": null_class}
    return {"conditioner": Component(ClassLabel, settings)}


PROMPT_MODEL = Family(
    title="prompt model of latent diffusion",
    marks=("transformer.token_emb.weight", "transformer.attn_layers.layers.0.1.to_q.weight"),
    infer=_infer_bert,
    table=_bert_table,
    ignored=((r"transformer\.to_logits\..*", "the head that predicts words, which the prompt model does not use"),),
)
CLASSES = Family(
    title="table of classes",
    marks=("embedding.weight",),
    infer=_infer_classes,
    table=lambda parts: [Link(("conditioner.table.weight",), ("embedding.weight",))],
)
