"""The models of a registry that a worker serves. They change while it runs, because it reads their aliases again.

A model is loaded while the one before still scores, and compared with its golden images. Then new requests get the new
one, and the old one is released with its last request. Where anything fails, the worker keeps what it has and says so.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import Any

from functions.errors import UnknownModel
from functions.messages.contract import Decoded, Request
from functions.runtime.known_versions import KnownVersions
from functions.runtime.loaded_models import LoadedModels, target_of
from functions.runtime.memory_tuning import trim_memory
from functions.runtime.model_problems import ModelProblems
from functions.runtime.new_aliases import NewAliases
from functions.runtime.rereading import Rereading
from functions.runtime.serving import Serving
from functions.runtime.traffic_split import side_of
from functions.service.models import Choice, ServedModel, Shadow, chosen, described
from model.errors import ArtifactError, FilesUnavailable, NotRegistered, RegistryError
from model.registry.aliases import STABLE, Alias, Aliases, Target, canaries, shadows
from model.registry.names import ModelRef, parse_ref
from model.registry.registry import Registry
from model.text import quoted

log = logging.getLogger(__name__)

_DIGEST = "sha256:"


class ModelPool:
    """Loads and chooses the models of a registry. Callable from any thread. See Models.

    `refs`: the models that are served, of which the first is the default. `executor` loads models, and is shut down by
    `cancel`. `start` starts a thread with a name. `max_age_s`: seconds for which aliases and versions are not read
    again. `compares`: whether what shadows say can be published. Raises ArtifactError when the default model cannot be
    served.
    """

    def __init__(
        self,
        registry: Registry,
        refs: Iterable[ModelRef],
        loaded: LoadedModels,
        executor: Executor,
        start: Callable[[str, Callable[[], None]], object],
        max_age_s: float,
        compares: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry, self._loaded, self._executor = registry, loaded, executor
        self._alias = {ref.name: ref.alias or STABLE for ref in refs}
        self._first = next(iter(self._alias))
        self._serving: dict[str, Serving] = {}
        self._versions, self._new_aliases = KnownVersions(registry, max_age_s, clock), NewAliases(registry, clock)
        self._compares = compares
        self._problems = ModelProblems()
        self._trims = 0
        self.rereading = Rereading(self.reread, max_age_s, start, clock)
        self._begin(self._first)

    @property
    def default(self) -> ServedModel:
        return self._serving[self._first].served

    def choose(self, request: Decoded) -> Future[Choice]:
        if choice := self._choice(request):
            return chosen(choice)
        return self._executor.submit(self._load_choice, _asked(request), request.request_id)

    def at_hand(self, request: Decoded) -> Choice | None:
        return None if self.rereading.is_late() else self._choice(request)

    def report(self) -> dict[str, Any]:
        serving = sorted(self._serving.items())
        listed = [model for name, each in serving for model in each.report(name, self._alias[name])]
        problem = self._problems.text()
        serves = [f"{name}@{alias}" for name, alias in self._alias.items()]
        found = {**described(self.default), "serves": serves, "models": listed}
        return {**found, **({"problem": problem} if problem else {})}

    def backlog_s(self) -> float:
        return sum(served.batches.backlog_s() for served in self._loaded.all() if served.batches)

    def cancel(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)
        for served in self._loaded.all():
            if served.batches:
                served.batches.cancel()

    def finish(self) -> None:
        self.rereading.finish()

    def reread(self) -> None:
        """Read the aliases of the models that are in use, and replace the models that they changed. Never raises."""
        for name in list(self._serving):
            try:
                self._update(name)
            except Exception as exc:
                self._problems.note(name, "aliases", exc)
        if self._trims:
            # Twice: the last requests of a model release it after the first time.
            self._trims -= 1
            trim_memory()

    def _begin(self, name: str) -> Serving:
        """Serve a model that is not in use yet: what its alias names, or else what it named before."""
        aliases = self._registry.aliases(name)
        alias = self._alias[name]
        if alias not in aliases:
            raise self._registry.no_alias(name, alias, aliases)
        served = self._first_usable(f"{name}@{alias}", aliases[alias])
        split = canaries(aliases, alias)
        serving = self._serving[name] = Serving(aliases, served, split, frozenset(split))
        if serving.canaries or shadows(aliases, alias):
            self.rereading.expire()  # the next request starts to load them
        self._shrink(serving)
        return serving

    def _first_usable(self, ref: str, alias: Alias) -> ServedModel:
        name = ref.partition("@")[0]
        for target in (alias.target, *alias.previous):
            try:
                return self._loaded.load(name, target)
            except ArtifactError as exc:
                self._problems.note(ref, target.version, exc)
                failure = exc
        raise failure

    def _update(self, name: str) -> None:
        """Load what the aliases of a model name now, then serve it."""
        checked = self._problems.begin()
        before = self._serving.get(name)
        if not before:
            return  # it was released meanwhile, because others need the memory
        aliases, alias = self._registry.aliases(name), self._alias[name]
        if alias not in aliases:
            raise self._registry.no_alias(name, alias, aliases)
        self._check_own(name, alias, aliases[alias])
        served = self._replaced(name, alias, aliases[alias].target, before.served) or before.served
        split, copied, loaded = canaries(aliases, alias), self._shadows(name, aliases), {}
        for each in {*split, *copied}:
            if new := self._replaced(name, each, aliases[each].target, before.loaded.get(each)):
                loaded[each] = new
        now = Serving(aliases, served, split, loaded=loaded)
        shades = (Shadow(each, found) for each in copied if (found := now.current(each)))
        now = self._serving[name] = replace(now, shadows=tuple(shades))
        if self._loaded.release(set(before.models) - set(now.models)):
            self._trims = 2
        self._shrink(now)
        self._problems.end(name, checked)

    def _check_own(self, name: str, alias: str, own: Alias) -> None:
        """Say that the alias that is served has options that only the aliases next to it can have."""
        if own.percent is not None or own.shadow:
            option = "a percentage" if own.percent is not None else "shadow"
            reason = f"it has {option}, which is ignored: the worker's setting MODELS names it, so it gets all requests"
            self._problems.note(f"{name}@{alias}", own.target.version, ArtifactError(reason))

    def _shadows(self, name: str, aliases: Aliases) -> list[str]:
        """The shadows of a model that can score here."""
        found = shadows(aliases, self._alias[name])
        if self._compares:
            return found
        for each in found:
            reason = ArtifactError("it is a shadow, and the worker has no COMPARISON_TOPIC for what shadows say")
            self._problems.note(f"{name}@{each}", aliases[each].target.version, reason)
        return []

    def _replaced(self, name: str, alias: str, target: Target, old: ServedModel | None) -> ServedModel | None:
        """The model that an alias names now; the old one, or None, where that one cannot be served."""
        ref = f"{name}@{alias}"
        try:
            new = self._loaded.load(name, target)
        except Exception as exc:  # one alias that cannot be followed must not keep the others from moving
            self._problems.note(ref, target.version, exc)
            return old
        if new is not old:
            log.info(
                "model replaced" if old else "model loaded",
                extra={"model": name, "alias": alias, "version": target.version, "digest": target.digest},
            )
        return new

    def _ref(self, asked: str | None) -> ModelRef:
        """The reference of a request. Raises UnknownModel."""
        if asked is None:
            return ModelRef(self._first)
        try:
            ref = parse_ref(asked)
        except RegistryError as exc:
            raise UnknownModel(str(exc)) from None
        if ref.name not in self._alias:
            served = ", ".join(map(repr, self._alias))
            raise UnknownModel(f"model is {quoted(asked)}; this worker serves {served}")
        return ref

    def _choice(self, request: Decoded) -> Choice | None:
        """The model for a request, or None when it must be loaded first."""
        self.rereading.request()
        try:
            return self._loaded_choice(_asked(request), request.request_id)
        except UnknownModel as exc:
            return Choice(self.default, exc)

    def _loaded_choice(self, asked: str | None, request_id: str) -> Choice | None:
        """The model for a request, or None when it must be loaded first. Raises UnknownModel."""
        if asked and asked.startswith(_DIGEST):
            return self._of_digest(asked)
        ref = self._ref(asked)
        serving = self._serving.get(ref.name)
        if not serving:
            return None
        if not ref.alias and not ref.version:
            self._loaded.find(ref.name, target_of(serving.served))  # it is in use
            return serving.choice(request_id)
        target = self._target(ref, serving)
        found = self._loaded.find(ref.name, target) if target else None
        return Choice(found) if found else None

    def _of_digest(self, digest: str) -> Choice:
        for serving in list(self._serving.values()):  # other threads change it
            for served in serving.models:
                if served.model.digest == digest:
                    return Choice(served)
        raise UnknownModel(f"model is {quoted(digest)}; no alias that this worker serves has this digest")

    def _target(self, ref: ModelRef, serving: Serving) -> Target | None:
        """The version that a reference names; None when the registry must be asked. Raises UnknownModel."""
        if ref.version:
            return self._versions.find(ref)
        alias = ref.alias or self._alias[ref.name]
        served = serving.served if alias == self._alias[ref.name] else serving.loaded.get(alias)
        if served:
            return target_of(served)
        return serving.aliases[alias].target if alias in serving.aliases else self._new_aliases.find(ref)

    def _load_choice(self, asked: str | None, request_id: str) -> Choice:
        """Like `_loaded_choice`, and loads the model."""
        ref = self._ref(asked)
        try:
            serving = self._serving.get(ref.name) or self._begin(ref.name)
            if not ref.alias and not ref.version:
                return serving.choice(request_id) or self._load_canary(ref.name, serving, request_id)
            target = self._target(ref, serving) or (self._versions if ref.version else self._new_aliases).ask(ref)
            served = self._loaded.load(ref.name, target)
            self._shrink(serving, served)
            return Choice(served)
        except UnknownModel as exc:
            return Choice(self.default, exc)
        except NotRegistered as exc:
            self._log(ref, exc)
            return Choice(self.default, UnknownModel(f"model is {quoted(asked)}; the registry does not have it"))
        except (RegistryError, FilesUnavailable):
            raise  # of the bucket or of this worker, and not of the request
        except ArtifactError as exc:
            if not ref.alias and not ref.version:
                raise
            self._log(ref, exc)
            why = "it cannot be served, and the worker's log says why"
            return Choice(self.default, UnknownModel(f"model is {quoted(asked)}; {why}"))

    def _log(self, ref: ModelRef, exc: ArtifactError) -> None:
        """Log why a model that a request names is not served: the reason has addresses, which senders must not see."""
        log.warning("model not loaded", extra={"model": str(ref), "reason": str(exc)})

    def _load_canary(self, name: str, serving: Serving, request_id: str) -> Choice:
        """A canary that is not loaded yet; the served model where it cannot be served."""
        side = side_of(request_id, serving.canaries)
        assert side
        found = self._replaced(name, side, serving.aliases[side].target, None)
        self._shrink(serving, *([found] if found else []))
        return Choice(found or serving.served, shadows=serving.shadows)

    def _shrink(self, *kept: Serving | ServedModel) -> None:
        """Release the least recently used models until the budget suffices."""
        models = list(self._serving[self._first].models)
        for each in kept:
            models.extend(each.models if isinstance(each, Serving) else [each])
        gone = self._loaded.shrink(models)
        for name, serving in list(self._serving.items()):
            if not set(gone).isdisjoint(serving.models):
                del self._serving[name]
                self._problems.end(name, set())
        for each in gone:
            log.info("model released", extra={"model": each.model.name, "version": each.model.version})
            self._trims = 2


def _asked(request: Decoded) -> str | None:
    """The model that a request names."""
    return request.options.model if isinstance(request, Request) else None
