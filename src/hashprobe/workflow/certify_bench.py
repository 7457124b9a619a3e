"""The queries of a certificate: counted, certified, attacked, and kept in shards."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int8, Int64

from hashprobe.attacks._bit_margin import BitMarginOptions, bit_margin
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.within_l2 import within_l2
from hashprobe.codes.packed import PackedCodes
from hashprobe.data.queries import Queries
from hashprobe.defenses.defended import Defended, defended
from hashprobe.defenses.intervals import interval_radius, layers_of
from hashprobe.defenses.noisy_votes import noisy_votes
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.certificates import BitCertificate, certified_map, certified_match
from hashprobe.evaluation.certified_votes import certify_votes
from hashprobe.evaluation.instances import Sources
from hashprobe.evaluation.measurement import Measurement, sign
from hashprobe.evaluation.measures import mean_average_precision
from hashprobe.progress import note_kept
from hashprobe.storage.archive import Member, check_members
from hashprobe.storage.files import fingerprint, read_npz, write_npz
from hashprobe.types import SEEDS, Budget, Runtime
from hashprobe.victims.base import Hasher
from hashprobe.victims.digest import sha256_weights
from hashprobe.victims.encoding import device_of, encode
from hashprobe.workflow.certificate import CertifiedRow, CertifiedSide, CertifyOptions
from hashprobe.workflow.compare_attacks import own_anchors
from hashprobe.workflow.run_io import EncodedRun


SHARD = 10
"""Queries that are kept together."""
COPIES = 100
"""Copies in the network at once."""
DRAWS = 8
"""Noise that an attacker takes the mean of at each step."""
LEVELS = (1 / 255, 2 / 255)
"""l-infinity changes of the network itself, where bounds know its layers."""
MADE = 1
"""Grows where all that is kept is computed in another way."""
WITHIN = 2
"""Grows where `within_l2` moves images in another way."""
KEPT = {"made_by": Member("text"), "found": Member("int64", "n k")}
Met = tuple[np.ndarray, Measurement]
"""Bits that are turned over, by query, and MAP."""


@dataclass(frozen=True, eq=False)
class CertifyBench:
    """The queries of one certificate, and what is done with them."""

    victim: EncodedRun
    options: CertifyOptions
    runtime: Runtime
    rows: np.ndarray
    """Of the encoded queries."""
    clean: Queries
    """Their pixels, in [0, 1]."""
    radius: int

    @property
    def folder(self) -> Path:
        """Where it is kept."""
        return self.victim.run.path / "certify" / self.options.name

    @property
    def images(self) -> torch.Tensor:
        """The pixels of the queries."""
        return self.clean.pixels

    @cached_property
    def operated(self) -> Defended:
        """The vote that an operator runs; its seed is what the attacker does not know."""
        asked = self.options
        return defended(
            self.victim.hasher,
            "smoothing",
            sigma=asked.sigma,
            votes=asked.votes,
            seed=asked.seed,
            attack_draws=DRAWS,
        )

    @cached_property
    def weights(self) -> str:
        """The checksum of the network."""
        return sha256_weights(self.victim.hasher)

    @cached_property
    def anchors(self) -> Int8[np.ndarray, "q k"]:
        """The vote of all database codes that share a label with each query."""
        return own_anchors(self.victim, self.rows)

    @property
    def refused(self) -> tuple[str, ...]:
        """Why there is no attack; nothing where there is one."""
        why = self.victim.hasher.query_only
        return (f"No attack: {why}, and it gives no gradients.",) if why else ()

    @property
    def passes(self) -> int:
        """Passes of a picture through the network, a backward pass counted as two."""
        asked = self.options
        attacks = 0 if self.refused else 2 * len(asked.norms)
        each = asked.samples + asked.votes * (1 + attacks) + 3 * DRAWS * asked.steps * attacks
        return each * len(self.rows)

    def of_vote(self) -> Iterator[CertifiedRow]:
        """The rows of the vote, without a change first."""
        asked = self.options
        shown = {"sigma": asked.sigma, "samples": asked.samples, "seed": asked.seed}
        counts = self.in_shards("noisy copies", shown, self.counted)
        held = certify_votes(
            counts,
            asked.samples,
            asked.sigma,
            error=asked.error,
            votes=asked.votes,
            miss=asked.miss,
        )
        shown = {"sigma": asked.sigma, "votes": asked.votes, "seed": asked.seed}
        met = [self.met(held, self.in_shards("vote", shown, self.voted))]
        for eps in (0.0, *asked.norms):
            if eps and not self.refused:
                for name, codes in (("anchor", self.anchors), ("code", held.signs)):
                    more = {**shown, "norm": eps, "steps": asked.steps, "within": WITHIN}
                    title = f"attack within {eps:g} away from the own {name}"
                    make = partial(self.moved, -codes, eps)
                    met.append(self.met(held, self.in_shards(title, more, make, codes)))
            attacked = None if self.refused else self.reached(held, met, eps)
            yield CertifiedRow("l2", eps, self.bounded(held, eps), attacked)

    def of_network(self) -> Iterator[CertifiedRow]:
        """The rows of the network itself within l-infinity changes.

        Raises:
            HashprobeError: a layer that interval bounds do not know, or bounds that say nothing.
        """
        try:
            layers_of(self.victim.hasher)
        except HashprobeError as error:
            raise HashprobeError("the network has layers without known bounds") from error
        bounds = partial(interval_radius, self.victim.hasher, steps=LEVELS, crown=True)
        parts = [bounds(self.images[rows]) for rows in self.shards]
        signs, radius = (np.concatenate(each) for each in zip(*parts, strict=True))
        held = BitCertificate(signs, radius, "linf")
        if held.open(LEVELS[0]).all():
            raise HashprobeError(
                f"those of so many layers let every bit turn over at {255 * LEVELS[0]:g}/255"
            )
        met = [self.met(held, held.signs)]
        for eps in LEVELS:
            if not self.refused:
                for name, codes in (("anchor", self.anchors), ("code", held.signs)):
                    more = {"eps": eps, "steps": self.options.steps}
                    title = f"attack within {255 * eps:g} of 255 away from the own {name}"
                    make = partial(self.shifted, -codes, eps)
                    met.append(self.met(held, self.in_shards(title, more, make, codes)))
            attacked = None if self.refused else self.reached(held, met, eps)
            yield CertifiedRow("linf", eps, self.bounded(held, eps), attacked)

    def counted(self, rows: slice) -> Int64[np.ndarray, "q k"]:
        """In how many noisy copies each bit is +1."""
        asked = self.options
        return noisy_votes(
            self.victim.hasher,
            self.images[rows],
            sigma=asked.sigma,
            samples=asked.samples,
            seed=(asked.seed + rows.start) % SEEDS,
            batch_size=self.runtime.batch_size or COPIES,
        )

    def voted(self, rows: slice) -> Int64[np.ndarray, "q k"]:
        """The codes that the operator gets."""
        return self.judged(self.operated, self.images[rows])

    def moved(self, codes: np.ndarray, norm: float, rows: slice) -> Int64[np.ndarray, "q k"]:
        """The operator's codes of queries that were steered to codes within an l2 norm."""
        steps, some = self.options.steps, self.images[rows]
        size = self.runtime.batch_size or SHARD
        found = within_l2(self.operated, some, codes[rows], norm, steps=steps, batch_size=size)
        return self.judged(self.operated, found)

    def shifted(self, codes: np.ndarray, eps: float, rows: slice) -> Int64[np.ndarray, "q k"]:
        """The network's codes of queries that were steered to codes within an l-infinity change."""
        hasher = self.victim.hasher
        found = bit_margin(
            hasher,
            self.clean.take(rows).on(device_of(hasher)),
            Goal.targeted(codes[rows]),
            budget=Budget(eps),
            options=BitMarginOptions(steps=self.options.steps),
        )
        return self.judged(hasher, found)

    def judged(self, victim: Hasher, images: torch.Tensor) -> Int64[np.ndarray, "q k"]:
        """Codes of images, -1 and +1."""
        given = Queries(images.to(device_of(self.victim.hasher)))
        return encode(victim, given).signs().astype(np.int64)

    def bounded(self, held: BitCertificate, eps: float) -> CertifiedSide:
        """What the certificate says of a norm."""
        encoded, count = self.victim.database, len(self.rows)
        alike = Sources.of(list(range(count)), list(range(count)))
        return CertifiedSide(
            self.turned(held.flips(eps), "certified-flips", held, eps),
            certified_map(
                held,
                encoded.codes,
                self.victim.query.labels[self.rows],
                encoded.labels,
                eps=eps,
                top=self.options.top,
            ),
            certified_match(held, held.codes, alike, self.radius, eps),
        )

    def met(self, held: BitCertificate, codes: np.ndarray) -> Met:
        """What some codes do to the queries, without an attack or with one."""
        encoded, labels = self.victim.database, self.victim.query.labels[self.rows]
        found = mean_average_precision(
            PackedCodes.from_signs(codes),
            encoded.codes,
            labels,
            encoded.labels,
            top=self.options.top,
            normaliser="min",
            ties="worst",
        )
        return (codes != held.signs).sum(1), found

    def reached(self, held: BitCertificate, met: list[Met], eps: float) -> CertifiedSide:
        """What all of them did, each query at its worst."""
        turned = np.max([wrong for wrong, _ in met], axis=0)
        lowest = np.min([found.per_query for _, found in met], axis=0)
        parts = {held.norm: f"{eps:g}", "q": len(turned), "bits": self.victim.hasher.bits}
        return CertifiedSide(
            self.turned(turned, "worst-flips", held, eps),
            Measurement.of(lowest, f"worst {met[0][1].signature}"),
            Measurement.of(
                (turned <= self.radius).astype(float), sign(f"worst-match@r{self.radius}", **parts)
            ),
        )

    def turned(
        self, counts: np.ndarray, name: str, held: BitCertificate, eps: float
    ) -> Measurement:
        """A mean number of bits."""
        bits = self.victim.hasher.bits
        signature = sign(name, **{held.norm: f"{eps:g}", "q": len(counts), "bits": bits})
        return Measurement.of(counts.astype(float), signature, bounds=(0, bits))

    @property
    def shards(self) -> list[slice]:
        """The queries, some at a time."""
        count = len(self.rows)
        return [slice(begin, min(begin + SHARD, count)) for begin in range(0, count, SHARD)]

    def in_shards(
        self,
        title: str,
        settings: Mapping[str, object],
        make: Callable[[slice], np.ndarray],
        codes: np.ndarray | None = None,
    ) -> Int64[np.ndarray, "q k"]:
        """A row for each query; shards that were kept under the same settings are read.

        `codes` are what an attack drives the queries away from.
        """
        parts: list[np.ndarray] = []
        given = {**settings, "made": MADE, "weights": self.weights, "title": title}
        name = title.replace(" ", "-")
        name += "".join(f"-{given[each]}{each}" for each in ("samples", "steps") if each in given)
        with self.runtime.progress.bar(title) as tick:
            try:
                for rows in self.shards:
                    places = self.victim.query.positions[self.rows[rows]].tolist()
                    away = None if codes is None else codes[rows].tolist()
                    key = fingerprint({**given, "queries": places, "codes": away})
                    path = self.folder / f"{name}-{rows.start:06d}.npz"
                    parts.append(kept(path, key, partial(make, rows)))
                    tick(rows.stop, len(self.rows))
            except KeyboardInterrupt as stop:
                done = sum(map(len, parts))
                note_kept(stop, bool(parts), f"{title}: {done} of {len(self.rows)} queries")
                raise
        return np.concatenate(parts)


def kept(path: Path, key: str, make: Callable[[], np.ndarray]) -> Int64[np.ndarray, "n k"]:
    """What a file holds under a key; made and written where it does not."""
    try:
        arrays = read_npz(path)
        check_members(arrays, KEPT, "it")
        if str(arrays["made_by"]) == key:
            return arrays["found"]
    except HashprobeError:
        pass  # missing or damaged: it is made again
    found = make()
    write_npz(path, {"made_by": np.array(key), "found": found})
    return found
