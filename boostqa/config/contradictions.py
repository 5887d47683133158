"""What single values do not show: sections of the conf that contradict each other, each with the key to look at.

A check names the sections that it reads as its parameters and runs where these are sound, so that a mistake elsewhere hides
no contradiction. Only what fails for certain, or against the conf's own words, is one.
"""

import inspect
import math
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from boostqa.config.components import Component
from boostqa.config.execution import Generation
from boostqa.config.location import location
from boostqa.config.models import EngineSettings, Models
from boostqa.config.places import Key
from boostqa.config.sections import (
    Annotate,
    Clean,
    Controls,
    Distil,
    Gate,
    Mix,
    Plan,
    Probe,
    Refine,
    Round,
    Seed,
    Synthesize,
)
from boostqa.config.source import Source
from boostqa.vocabulary import HIGH_GRADES, AnnotatedBy, GateName, Kind, Severity

Found = Iterator[tuple[Key, str]]

# Tokens of a prompt beside its material, rather too few than too many: the shortest wording of the templates in English
# has 267, 64 and 87 under a vocabulary of 49,000. Exemplars and questions asked before come on top.
_OF_A_DRAFT, _OF_AN_ATTEMPT, _OF_A_REWRITE = 250, 60, 80
_CHARACTERS_PER_TOKEN = 8  # prose has 4 to 5 under any tokenizer, so a text of more than 8 for each token is none


def contradictions(sections: Mapping[str, Any]) -> Found:
    """(key, what is wrong) for every contradiction between `sections`, which are those of a conf that are sound."""
    for check in _CHECKS:
        wanted = inspect.signature(check).parameters
        if wanted.keys() <= sections.keys():
            yield from check(*(sections[name] for name in wanted))


def _numbered(section: str, name: str, sources: list[Source]) -> list[tuple[Key, Source]]:
    return [((section, name, number), source) for number, source in enumerate(sources)]


def _names_are_unique(seed: Seed, clean: Clean, probe: Probe) -> Found:
    held_out = _numbered("clean", "benchmarks", clean.benchmarks) + _numbered("probe", "items", probe.items)
    for sources in (_numbered("seed", "sources", seed.sources), held_out):
        first: dict[str, Key] = {}
        for key, source in sources:
            if (known := first.setdefault(source.name, key)) != key:
                yield (*key, "name"), f"each name once, got {source.name} at {'.'.join(map(str, known))}, too"


def _controls_are_no_benchmark(controls: Controls, clean: Clean, probe: Probe) -> Found:
    held_out = {s.path: s.name for s in chain(clean.benchmarks, probe.items)}
    for key, source in _numbered("controls", "sources", controls.sources):
        if source.kind != Kind.QA or "answer" not in source.fields:
            yield key, f"{source.name}: known items need kind: qa and a mapped answer"
        if source.path in held_out:
            why = (
                "a control goes through models and prompts; name another labelled set, or the benchmark's training split "
                "in a file of its own"
            )
            yield (*key, "path"), f"{source.path} is held out as {held_out[source.path]}: {why}"


def _annotated_sources_are_seeds(seed: Seed, annotate: Annotate) -> Found:
    known = [source.name for source in seed.sources]
    for name in annotate.by:
        if name not in known:
            yield ("annotate", "by", name), f"is no source of seed.sources, which are {', '.join(known)}"


def _distilled_annotator_has_a_place(warehouse: str, distil: Distil, annotate: Annotate) -> Found:
    if location(warehouse).names and not distil.model and AnnotatedBy.DISTILLED in annotate.by.values():
        yield ("distil", "model"), f"is required with a warehouse in a catalog ({warehouse}): a folder or models:/NAME"


def _likelihoods_have_engines(model: Models, probe: Probe) -> Found:
    why = "likelihoods, which only an engine of our own gives"
    if model.generator.endpoint and not probe.checkpoints:
        key = ("probe", "checkpoints")
        yield key, f"is required when model.generator has an endpoint: probing needs {why}"
    if model.fluency and model.fluency.endpoint:
        yield ("model", "fluency"), f"no endpoint: it scores {why}"


def _prompt_and_output_fit_the_context(
    seed: Seed, synthesize: Synthesize, refine: Refine, model: Models, engine: EngineSettings
) -> Found:
    chunk = seed.max_tokens if any(s.kind == Kind.DOCUMENT for s in seed.sources) else 0
    asked = (
        ("generator", "synthesize.sampling", synthesize.sampling, chunk + _OF_A_DRAFT),
        ("refiner", "refine.blind", refine.blind, _OF_AN_ATTEMPT),
        ("refiner", "refine.rewrite", refine.rewrite, _OF_A_REWRITE),
    )
    for role, name, sampling, prompt in asked:
        who = getattr(model, role) or model.generator
        context = engine.of(who).max_model_len
        if sampling.max_tokens + prompt > context and not who.endpoint:
            of_seed = f" (seed.max_tokens {chunk} among them)" if role == "generator" else ""
            output, limit = (
                f"{sampling.max_tokens} of output",
                f"the context of the {role} (engine.max_model_len {context})",
            )
            yield (
                (*name.split("."), "max_tokens"),
                f"{output} and at least {prompt} of prompt{of_seed} are above {limit}",
            )


def _seed_can_be_long_enough(seed: Seed) -> Found:
    if seed.min_characters > (most := _CHARACTERS_PER_TOKEN * seed.max_tokens):
        why = f"is above what max_tokens {seed.max_tokens} hold ({most} at most)"
        yield ("seed", "min_characters"), f"{seed.min_characters} {why}"


def _question_can_be_long_enough(clean: Clean) -> Found:
    least, most = clean.min_question_characters, clean.max_question_characters
    if least > most:
        yield ("clean", "min_question_characters"), f"{least} is above max_question_characters {most}"


def _catalog_has_staging(warehouse: str, generation: Generation) -> Found:
    ledger = generation.ledger or warehouse
    if location(ledger).names and not generation.staging:
        yield ("generation", "staging"), f"is required with a ledger in a catalog ({ledger}): set it to a Volume folder"


def _budget_is_above_its_floors(plan: Plan) -> Found:
    # A discipline with seeds has these cells at least; how many disciplines there are, only the seeds tell.
    floors = len(HIGH_GRADES) * plan.floor_tokens
    if floors > plan.tokens:
        cells = f"floor_tokens {plan.floor_tokens} in the cells {' and '.join(HIGH_GRADES)} of one discipline"
        yield ("plan", "tokens"), f"{plan.tokens} is below its floors: {cells} alone are {floors}"


def _gates_can_hold(gate: Gate, plan: Plan, controls: Controls) -> Found:
    warns = {name.rpartition(".")[2] for name, severity in gate.severity.items() if severity == Severity.WARN}
    least, planned = gate.min_high_difficulty_share, plan.high_difficulty_share
    if least > planned and GateName.HIGH_DIFFICULTY_SHARE not in warns:
        yield ("gate", "min_high_difficulty_share"), f"{least} is above plan.high_difficulty_share {planned}"
    good = controls.count * controls.positive_share if controls.sources else math.inf
    if (gate.min_controls or 0) > good and GateName.CONTROLS_PRESENT not in warns:
        of_all = f"controls.count {controls.count} x positive_share {controls.positive_share}"
        yield ("gate", "min_controls"), f"{gate.min_controls} is above the good ones that are drawn: {of_all}"


def _rounds_follow_each_other(rounds: list[Round], probe: Probe) -> Found:
    known = [c.id for c in probe.checkpoints]
    before = -1
    for number, declared in enumerate(rounds):
        if declared.name in [r.name for r in rounds[:number]]:
            yield ("rounds", number, "name"), f"each name once, got {declared.name} before"
        if declared.tokens and declared.share:
            yield ("rounds", number, "share"), "tokens or a share of what is left, not both"
        if declared.checkpoint is not None and declared.checkpoint not in known:
            have = ", ".join(known) or "none"
            yield (
                ("rounds", number, "checkpoint"),
                f"{declared.checkpoint} is not in probe.checkpoints, which has {have}",
            )
        place = known.index(declared.checkpoint) if declared.checkpoint in known else len(known)
        if place < before:
            yield ("rounds", number, "checkpoint"), f"{declared.checkpoint} comes before that of the round before"
        before = place


def _token_ids_have_an_end(mix: Mix) -> Found:
    if "megatron" in mix.formats and mix.end_of_text is None:
        yield (
            ("mix", "end_of_text"),
            "required by the format megatron: the target tokenizer's end-of-text token, as </s>",
        )


def _takes_all(part: Component) -> bool:
    return part.of == "synthesized" and not (part.strategies or part.rounds or part.reasoning)


def _components_make_the_mix(mix: Mix, rounds: list[Round], seed: Seed) -> Found:
    parts = mix.components
    names = [part.name for part in parts]
    for number, part in enumerate(parts):
        key = ("mix", "components", number)
        if part.name in names[:number]:
            yield (*key, "name"), f"each name once, got {part.name} twice"
        if part.of != "synthesized" and (part.strategies or part.rounds or part.reasoning):
            yield key, f"strategies, rounds and reasoning tell synthesized items apart, and this is {part.of}"
        if (part.of == "corpus") != (part.source is not None):
            yield (*key, "source"), "`of: corpus` needs a source, and no other component has one"
        if part.source and part.source.format != "text" and not {"text", "token_ids"} & part.source.fields.keys():
            yield (*key, "source", "fields"), "map `text`, or `token_ids` of the target tokenizer"
        if part.of == "seeds" and "seeds" in [p.of for p in parts[:number]]:
            yield (*key, "of"), "one component of seeds: it has them all"
        if part.of == "corpus" and part.cells:
            yield (*key, "cells"), "nobody labels another corpus, so it has no cells"
        if part.of == "synthesized" and any(_takes_all(p) for p in parts[:number]):
            yield key, "an earlier component takes all that is synthesized: name it last"
        known = [source.name for source in (*seed.sources, *(p.source for p in parts[:number] if p.source))]
        if part.source and (part.source.kind != Kind.DOCUMENT or part.source.name in known):
            yield (*key, "source"), "a source of documents (kind: document), with a name that no other source has"
        for at, target in ((key, part), *(((*key, "cells", cell), t) for cell, t in part.cells.items())):
            if target.weight and target.tokens:
                yield (*at, "weight"), "a weight or tokens, not both"
        if unknown := sorted(set(part.rounds) - {r.name for r in rounds}):
            yield (*key, "rounds"), f"{unknown[0]} is not in rounds, which has {', '.join(r.name for r in rounds)}"
    fixed = sum(part.tokens or 0 for part in parts)
    if fixed > mix.tokens or (fixed < mix.tokens and all(part.tokens for part in parts)):
        yield (
            ("mix", "components"),
            f"their tokens are {fixed:,} together, mix.tokens is {mix.tokens:,}: give one of them a weight, or make them equal",
        )


_CHECKS = (
    _names_are_unique,
    _controls_are_no_benchmark,
    _annotated_sources_are_seeds,
    _distilled_annotator_has_a_place,
    _likelihoods_have_engines,
    _prompt_and_output_fit_the_context,
    _seed_can_be_long_enough,
    _question_can_be_long_enough,
    _catalog_has_staging,
    _budget_is_above_its_floors,
    _gates_can_hold,
    _rounds_follow_each_other,
    _token_ids_have_an_end,
    _components_make_the_mix,
)
