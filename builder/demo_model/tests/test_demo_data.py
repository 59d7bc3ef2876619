"""The demo model's data: split, determinism, template, tokenizer, scoring."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

sys.path.insert(0, str(Path(__file__).parents[2]))

from demo_model.checkpoint import config, save_folder
from demo_model.data import IGNORED, Mixer, Packer
from demo_model.evaluate import HELD_OUT, read_items
from demo_model.heldout import PER_TASK, lines
from demo_model.items import held_out, trainable
from demo_model.network import Network, Shape
from demo_model.quantise import GROUP, dequantised
from demo_model.tasks import TASKS
from demo_model.template import render
from demo_model.tokenizer import SPECIAL, VOCABULARY, train_tokenizer

TINY = {"hidden": 32, "layers": 2, "heads": 2, "kv_heads": 1, "head_dim": 32, "ffn": 64}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(Mixer(5).texts(30_000))


@pytest.fixture(scope="module")
def folder(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model")
    save_folder(Network(Shape(VOCABULARY, **TINY)), tokenizer, path)
    return path


def test_no_held_out_problem_is_trained_on() -> None:
    tested = {item.key for item in read_items(HELD_OUT)}
    assert all(held_out(key) for key in tested)
    mixer = Mixer(11)
    trained: set[str] = set()
    for _ in range(20_000):
        item = mixer.item()
        trained |= {item.key, *item.also}
    assert not trained & tested


def test_an_item_that_reveals_a_held_out_answer_is_not_trained_on() -> None:
    rng = random.Random(3)
    follow_ups = [TASKS["follow_up"][0](rng) for _ in range(2000)]
    revealing = [i for i in follow_ups if not held_out(i.key) and any(map(held_out, i.also))]
    assert revealing
    assert not any(trainable(item) for item in revealing)


def test_the_held_out_file_is_what_the_generator_writes() -> None:
    written = HELD_OUT.read_text(encoding="utf-8").splitlines()
    assert written == lines()
    for task in TASKS:
        assert sum(item.task == task for item in read_items(HELD_OUT)) == PER_TASK


def test_the_same_seed_gives_the_same_conversations() -> None:
    first, second, other = Mixer(4), Mixer(4), Mixer(5)
    drawn = [first.conversation(3) for _ in range(300)]
    assert drawn == [second.conversation(3) for _ in range(300)]
    assert drawn != [other.conversation(3) for _ in range(300)]


def test_every_task_accepts_its_own_answer_and_no_other() -> None:
    for name, (generator, _) in TASKS.items():
        rng = random.Random(name)
        for _ in range(200):
            item = generator(rng)
            assert item.task == name
            assert item.expected == item.expected.strip() != ""
            assert item.accepts(f" {item.expected}\n")
            assert not item.accepts(f"{item.expected} no")


def test_one_question_has_one_answer() -> None:
    known: dict[str, str] = {}
    mixer = Mixer(21)
    for _ in range(20_000):
        item = mixer.item()
        asked = repr((item.messages, item.tools))
        assert known.setdefault(asked, item.expected) == item.expected


def test_the_template_renders_like_transformers(folder: Path) -> None:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(folder)
    rng = random.Random(2)
    for generator, _ in TASKS.values():
        for _ in range(8):
            item = generator(rng).with_system(rng.choice((None, "Answer briefly.")))
            rendered = theirs.apply_chat_template(
                list(item.messages),
                tools=list(item.tools) or None,
                add_generation_prompt=True,
                tokenize=False,
            )
            assert rendered == render(item.messages, item.tools)


def test_a_structured_tool_call_renders_like_its_text(folder: Path) -> None:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(folder)
    text = '<tool_call>{"name": "f", "arguments": {"city": "Zürich"}}</tool_call>'
    question = {"role": "user", "content": "?"}
    for arguments in ({"city": "Zürich"}, '{"city": "Zürich"}'):
        call = {"type": "function", "function": {"name": "f", "arguments": arguments}}
        structured = {"role": "assistant", "content": None, "tool_calls": [call]}
        rendered = theirs.apply_chat_template([question, structured], tokenize=False)
        plain = [question, {"role": "assistant", "content": text}]
        assert rendered == theirs.apply_chat_template(plain, tokenize=False)


def test_any_text_comes_back_from_the_tokenizer(tokenizer: Tokenizer) -> None:
    rng = random.Random(8)
    for _ in range(500):
        points = [
            rng.choice((rng.randrange(128), rng.randrange(0xD800), 0x1F600)) for _ in range(30)
        ]
        text = "".join(map(chr, points))
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        assert tokenizer.decode(ids, skip_special_tokens=False) == text


def test_digits_are_single_tokens(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("1234").tokens == list("1234")
    assert [tokenizer.token_to_id(token) for token in SPECIAL] == [0, 1, 2]


def test_labels_are_the_answers_alone(tokenizer: Tokenizer) -> None:
    packer = Packer(tokenizer, Mixer(6))
    for _ in range(50):
        ids, labels = packer.document(1)
        wanted = [label for label in labels if label != IGNORED]
        learnt = tokenizer.decode(wanted, skip_special_tokens=False)
        shown = tokenizer.decode(ids, skip_special_tokens=False)
        answers = [part.split("<|im_end|>")[0] for part in shown.split("<|im_start|>assistant\n")]
        assert learnt == "".join(f"{answer}<|im_end|>" for answer in answers[1:])


def test_the_network_computes_what_transformers_does(folder: Path, tokenizer: Tokenizer) -> None:
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    network = Network(Shape(VOCABULARY, **TINY))
    weights = load_file(str(folder / "model.safetensors"))
    network.load_state_dict({name: weight.float() for name, weight in weights.items()})
    ids = torch.randint(0, VOCABULARY, (2, 40))
    positions = torch.arange(40).expand(2, -1)
    with torch.no_grad():
        hidden = network.model(ids, positions, torch.zeros_like(ids))
        ours = hidden @ network.model.embed_tokens.weight.T
        assert torch.allclose(ours, theirs(ids).logits, atol=1e-4)
    assert config(network.shape, tokenizer)["vocab_size"] == VOCABULARY


def test_packed_conversations_do_not_see_each_other(tokenizer: Tokenizer) -> None:
    network = Network(Shape(VOCABULARY, **TINY))
    batch = Packer(tokenizer, Mixer(9)).batch(1, 256, 1)
    second = batch.documents[0] == 1
    changed = batch.ids.clone()
    changed[0, ~second] = 7
    with torch.no_grad():
        before = network.model(batch.ids, batch.positions, batch.documents)
        after = network.model(changed, batch.positions, batch.documents)
    assert torch.equal(before[0, second], after[0, second])


def test_int4_rounding_keeps_to_its_grid() -> None:
    torch.manual_seed(1)
    weight = torch.randn(4, 2 * GROUP)
    weight[0, :GROUP] = 0
    rounded = dequantised(weight)
    assert torch.all(rounded[0, :GROUP] == 0)
    groups = rounded.reshape(-1, GROUP)[1:]
    steps = weight.reshape(-1, GROUP)[1:].abs().amax(1, keepdim=True).div(7).half().float()
    levels = groups / steps
    assert torch.allclose(levels, levels.round(), atol=1e-4)
    assert levels.abs().max() <= 7
    assert (weight - rounded).abs().max() <= steps.max() * 0.51
