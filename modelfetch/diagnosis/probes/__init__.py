"""Reading a machine. Each module reads facts of one kind and concludes nothing.

- Nothing is changed, but for a temporary folder in which the features of a file system are tried.
- Files of the system are read under `Machine.root`; native code runs in a child.
"""

from __future__ import annotations

from typing import Any

from modelfetch.diagnosis.facts import Probe
from modelfetch.diagnosis.probes.addresses import ADDRESS_LIMIT_S, AddressFacts, read_addresses
from modelfetch.diagnosis.probes.caches import CACHES_LIMIT_S, CacheFacts, QueueFacts, read_caches, read_queue
from modelfetch.diagnosis.probes.credentials import CredentialFacts, read_credentials
from modelfetch.diagnosis.probes.delivery import DELIVERY_LIMIT_S, DeliveryFacts, read_delivery
from modelfetch.diagnosis.probes.endpoints import ENDPOINT_LIMIT_S, EndpointFacts, read_endpoints
from modelfetch.diagnosis.probes.hardware import HardwareFacts, read_hardware
from modelfetch.diagnosis.probes.index_answers import INDEX_LIMIT_S, IndexAnswers, read_index_answers
from modelfetch.diagnosis.probes.index_settings import IndexFacts, read_indexes
from modelfetch.diagnosis.probes.interpreter import InterpreterFacts, read_interpreter
from modelfetch.diagnosis.probes.kernel_log import KernelLogFacts, read_kernel_log
from modelfetch.diagnosis.probes.limits import LimitFacts, read_limits
from modelfetch.diagnosis.probes.locks import LockFacts, read_locks
from modelfetch.diagnosis.probes.models import MODELS_LIMIT_S, ModelFacts, read_models
from modelfetch.diagnosis.probes.native import (
    NATIVE_LIMIT_S,
    TRIAL_LIMIT_S,
    CudaFacts,
    NvmlFacts,
    TrialFacts,
    read_cuda,
    read_nvml,
    read_trial,
)
from modelfetch.diagnosis.probes.packages import PackageFacts, read_packages
from modelfetch.diagnosis.probes.storage import StorageFacts, read_storage
from modelfetch.diagnosis.probes.token import TOKEN_LIMIT_S, TokenFacts, read_token
from modelfetch.diagnosis.probes.toolkit import ToolkitFacts, read_toolkit
from modelfetch.diagnosis.probes.torch_files import TorchFacts, read_torch
from modelfetch.diagnosis.probes.wholeness import WholenessFacts, read_wholeness

# Beyond its own limit a probe gets this for starting and ending a child on a machine that is busy.
_GRACE_S = 5.0

_HTTP = ("modelfetch.http", "modelfetch.http.client", "modelfetch.http.firewall")
_HUBS = (*_HTTP, "modelfetch.hubs", "modelfetch.hubs.registry", "modelfetch.hubs.resolve")
_EXPERIENCE = ("modelfetch.experience", "modelfetch.planning.preference")
_STORE = ("modelfetch.store", "modelfetch.store.store")
_ADOPT = ("modelfetch.adopt", "modelfetch.adopt.scanning")
_MODELS = tuple(
    f"modelfetch.model.{name}" for name in ("contents", "folder", "kind", "placement", "quantisation", "tables")
)

PROBES: tuple[Probe[Any], ...] = (
    Probe(CudaFacts, read_cuda, NATIVE_LIMIT_S + _GRACE_S),
    Probe(NvmlFacts, read_nvml, NATIVE_LIMIT_S + _GRACE_S),
    Probe(EndpointFacts, read_endpoints, ENDPOINT_LIMIT_S + _GRACE_S, _HTTP),
    Probe(DeliveryFacts, read_delivery, DELIVERY_LIMIT_S + _GRACE_S, _HTTP),
    Probe(AddressFacts, read_addresses, ADDRESS_LIMIT_S + _GRACE_S, _HTTP),
    Probe(IndexAnswers, read_index_answers, INDEX_LIMIT_S + _GRACE_S, (*_HTTP, *_EXPERIENCE)),
    Probe(IndexFacts, read_indexes),
    Probe(TokenFacts, read_token, TOKEN_LIMIT_S + _GRACE_S, _HUBS),
    Probe(TrialFacts, read_trial, TRIAL_LIMIT_S + _GRACE_S),
    Probe(ModelFacts, read_models, MODELS_LIMIT_S + _GRACE_S, (*_STORE, *_MODELS, *_ADOPT)),
    Probe(CacheFacts, read_caches, CACHES_LIMIT_S + _GRACE_S, (*_STORE, *_ADOPT)),
    Probe(LockFacts, read_locks),
    Probe(QueueFacts, read_queue, imports=_STORE),
    Probe(LimitFacts, read_limits),
    Probe(StorageFacts, read_storage, imports=_STORE),
    Probe(CredentialFacts, read_credentials),
    Probe(HardwareFacts, read_hardware),
    Probe(KernelLogFacts, read_kernel_log),
    Probe(ToolkitFacts, read_toolkit),
    Probe(InterpreterFacts, read_interpreter),
    Probe(PackageFacts, read_packages, 20.0),
    Probe(TorchFacts, read_torch),
    Probe(WholenessFacts, read_wholeness),
)
