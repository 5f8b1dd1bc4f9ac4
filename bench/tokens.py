"""What does the token check cost, and what can a flood of made-up tokens make us fetch?"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from bench.figures import Check, Report, Spread, Table
from itsm_bridge.entra.token import TokenVerifier
from itsm_bridge.errors import BridgeError
from local.entra.authority import AZURE_MONITOR, Entra

ROUNDS = 400
#: Two fetches per window of ten seconds, each of metadata and of keys.
FLOOD_SECONDS = 12.0
FLOOD_THREADS = 8
WINDOWS_BEGUN = 2
MOST_REQUESTS = WINDOWS_BEGUN * 2 * 2


def run() -> Report:
    """Measure."""
    with Entra() as entra:
        verifier = _verifier(entra)
        verifier.verify(f"Bearer {entra.mint()}")
        checked = _check_each(entra, verifier)
    with Entra() as entra:
        verifier = _verifier(entra)
        verifier.verify(f"Bearer {entra.mint()}")
        entra.fetches.clear()
        refused, known = _flood(entra, verifier)
        fetched = entra.fetches.total()
    floor = checked["RSA signature alone"]
    return Report(
        title="Token check",
        parts=(
            (
                f"Medians of {ROUNDS} checks each, in turns; the keys are known. "
                "*Ratio* to the verification of one RSA signature by the same library."
            ),
            Table(
                headings=("token", "µs", "ratio"),
                rows=[(name, f"{seconds * 1e6:.0f}", f"{seconds / floor:.2f}") for name, seconds in checked.items()],
            ),
            (
                f"A flood of {refused:,} tokens with unknown key ids, {FLOOD_THREADS} threads, {FLOOD_SECONDS:.0f} s, "
                f"made {fetched} requests for metadata and keys. A genuine token meanwhile: p50 / p95 / p99 {known} ms."
            ),
        ),
        checks=(Check.at_most("requests to Entra under a flood of unknown key ids", fetched, MOST_REQUESTS),),
    )


def _verifier(entra: Entra) -> TokenVerifier:
    return TokenVerifier(
        tenants=entra.tenants,
        audiences=[entra.client_id, entra.identifier_uri],
        allowed_callers=[AZURE_MONITOR],
        required_role="ActionGroupsSecureWebhook",
        authority=entra.authority,
    )


def _check_each(entra: Entra, verifier: TokenVerifier) -> dict[str, float]:
    now = int(time.time())
    good = entra.mint()
    signed, _, _ = good.rpartition(".")
    signature = jwt.utils.base64url_decode(good.rpartition(".")[2])
    key = entra.keys[-1].private_key.public_key()
    contestants: dict[str, Callable[[], object]] = {
        "RSA signature alone": lambda: key.verify(signature, signed.encode(), padding.PKCS1v15(), hashes.SHA256()),
        "PyJWT alone": lambda: jwt.decode(good, key, algorithms=["RS256"], audience=entra.client_id),
        "good": _checking(verifier, good),
        "expired": _checking(verifier, entra.mint(exp=now - 3600, iat=now - 7200, nbf=now - 7200)),
        "forged": _checking(verifier, entra.mint(evil=True)),
        "of another tenant": _checking(verifier, entra.mint(tid="99999999-0000-0000-0000-000000000000")),
        "without the role": _checking(verifier, entra.mint(without=["roles"])),
        "garbage": _checking(verifier, "garbage"),
    }
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, check in contestants.items():
            began = time.perf_counter()
            check()
            taken[name].append(time.perf_counter() - began)
    return {name: Spread.of(seconds).p50 for name, seconds in taken.items()}


def _checking(verifier: TokenVerifier, token: str) -> Callable[[], None]:
    def check() -> None:
        with suppress(BridgeError):
            verifier.verify(f"Bearer {token}")

    return check


def _flood(entra: Entra, verifier: TokenVerifier) -> tuple[int, Spread]:
    """Check tokens with unknown key ids as fast as it goes; return how many, and how genuine ones fared."""
    ends_at = time.monotonic() + FLOOD_SECONDS
    tokens = [entra.mint(header={"kid": f"unknown-{number}"}, evil=True) for number in range(32)]
    good = entra.mint()
    refused = [0] * FLOOD_THREADS
    genuine: list[float] = []

    def attack(thread: int) -> None:
        while time.monotonic() < ends_at:
            with suppress(BridgeError):
                verifier.verify(f"Bearer {tokens[refused[thread] % len(tokens)]}")
            refused[thread] += 1

    def call() -> None:
        pause = threading.Event()
        while time.monotonic() < ends_at:
            began = time.perf_counter()
            verifier.verify(f"Bearer {good}")
            genuine.append(time.perf_counter() - began)
            pause.wait(0.02)

    with ThreadPoolExecutor(FLOOD_THREADS + 1) as threads:
        for done in [threads.submit(call), *(threads.submit(attack, number) for number in range(FLOOD_THREADS))]:
            done.add_done_callback(lambda each: each.result())
    return sum(refused), Spread.of(genuine)
