"""torch-geometric: its convolutions, poolings, aggregations, norms and models, on one small graph."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks.zoo.attempts import Attempt, Zoo, classes, filled

NODES, EDGES, WIDE = 12, 40, 16
# Operations of compiled extensions, bases without a forward, and what is called with another package's object.
NOT_CALLED = ("CuGraph", "Fused", "MessagePassing", "Aggregation", "DataParallel", "KGEModel")


def torch_geometric() -> Zoo:
    """Each module of its `nn`; the arguments are found by their names."""
    package = importlib.import_module("torch_geometric.nn")
    for name, cls in classes(package):
        if not name.startswith(NOT_CALLED):
            yield name, _attempts(package, name, cls)


def _attempts(package: Any, name: str, cls: Any) -> Callable[[], Iterator[Attempt]]:
    def attempts() -> Iterator[Attempt]:
        torch.manual_seed(0)
        made = _arguments(package)
        special = _SPECIAL.get(name, lambda _: {})(package)

        def build() -> nn.Module:
            torch.manual_seed(0)
            arguments = {key: value() for key, value in made.items()}
            arguments |= {key: value() for key, value in special.items()}
            needed = filled(cls.__init__, arguments)
            # What is special may go through `**kwargs` to a base.
            model: nn.Module = cls(**needed | {key: arguments[key] for key in special})
            return model

        graph = _graph(name)
        forward = inspect.signature(cls.forward).parameters
        named = [key for key, p in forward.items() if key != "self" and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        needed = [key for key in named if forward[key].default is inspect.Parameter.empty]
        if "args" in forward:
            inner = {"x": graph["x"], "edge_index": graph["edge_index"]}
            yield (
                build,
                (tuple(inner.values()) if name != "HeteroConv" else (graph["x_dict"], graph["edge_index_dict"])),
            )
            yield build, (graph["x"],)
            return
        yield build, {key: graph[key] for key in needed if key in graph}
        for more in (
            ("batch",),
            ("edge_attr",),
            ("edge_weight",),
            ("edge_type",),
            ("type_vec",),
            ("edge_index",),
            ("index",),
            ("index", "dim_size"),
        ):
            keys = [*needed, *(key for key in more if key in named)]
            yield build, {key: graph[key] for key in keys if key in graph}

    return attempts


def _mlp(inside: int, out: int) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Linear(inside, 32), nn.ReLU(), nn.Linear(32, out))


def _arguments(package: Any) -> dict[str, Callable[[], Any]]:
    """What a constructor's argument of that name is given."""
    plain: dict[str, Any] = {
        "in_channels": WIDE, "out_channels": WIDE, "channels": WIDE, "hidden_channels": WIDE, "num_layers": 2,
        "K": 2, "alpha": 0.1, "k": 3, "edge_dim": 4, "num_timesteps": 2, "num_nodes": NODES, "num_relations": 3,
        "num_correction_layers": 2, "correction_alpha": 0.5, "num_smoothing_layers": 2, "smoothing_alpha": 0.5,
        "groups": 4, "num_blocks": 2, "num_bilinear": 4, "num_spherical": 3, "num_radial": 3, "int_emb_size": 8,
        "basis_emb_size": 4, "out_emb_channels": 16, "dim": 3, "kernel_size": 5, "hidden_node_channels": 16,
        "hidden_edge_channels": 16, "dim_emb": 16, "dim_pe_in": 8, "dim_pe_out": 4, "depth": 2,
        "space_dimensions": 3, "propagate_dimensions": 8, "num_types": 3, "types": ["a", "b"], "mode": "cat",
        "embedding_dim": 16, "num_classes": 4, "walk_length": 4, "context_size": 2, "filter_size": 2, "patch_size": 4,
        "heads": 4, "num_heads": 4, "num_clusters": 4, "input_dim": 16, "hidden_dim": 16, "output_dim": 16, "q": 0.5,
        "num_rels": 3, "seq_len": 4, "processing_steps": 2, "num_node_types": 2, "num_edge_types": 3,
        "edge_type_emb_dim": 4, "edge_attr_emb_dim": 4, "first_aggr": True, "max_num_elements": NODES,
        "aggr": ["mean", "max"], "aggrs": ["mean", "max", "std"], "aggregators": ["mean", "max", "std"],
        "scalers": ["identity", "amplification"], "scaler": ["identity", "amplification"], "metadata": _METADATA,
    }  # fmt: skip
    return {
        **{key: partial(_kept, value) for key, value in plain.items()},
        "deg": lambda: torch.tensor([0, 2, 4, 4, 2]),
        "nn": _mlp(WIDE, WIDE),
        "gate_nn": _mlp(WIDE, 1),
        "encoder": lambda: package.GCNConv(WIDE, WIDE),
        "discriminator": _mlp(WIDE, 1),
        "conv": lambda: package.GCNConv(WIDE, WIDE),
        "edge_index": lambda: _graph("")["edge_index"],
    }


def _kept(value: Any) -> Any:
    return value


_METADATA = (["a", "b"], [("a", "to", "b"), ("b", "to", "a")])
_SPECIAL: dict[str, Callable[[Any], dict[str, Callable[[], Any]]]] = {
    "PNA": lambda _: {
        "aggregators": lambda: ["mean", "max"],
        "scalers": lambda: ["identity", "amplification"],
        "deg": lambda: torch.tensor([0, 2, 4, 4, 2]),
    },
    "EquilibriumAggregation": lambda _: {"num_layers": lambda: [16, 16]},
    "HeteroDictLinear": lambda _: {"in_channels": lambda: {"a": WIDE, "b": WIDE}},
    "EdgeConv": lambda _: {"nn": _mlp(2 * WIDE, WIDE)},
    "DynamicEdgeConv": lambda _: {"nn": _mlp(2 * WIDE, WIDE)},
    "GINEConv": lambda _: {"edge_dim": lambda: 4},
    "NNConv": lambda _: {"nn": _mlp(4, WIDE * WIDE)},
    "PointNetConv": lambda _: {"local_nn": _mlp(WIDE + 3, WIDE)},
    "PPFConv": lambda _: {"local_nn": _mlp(WIDE + 4, WIDE)},
    "PointGNNConv": lambda _: {"mlp_h": _mlp(WIDE, 3), "mlp_f": _mlp(WIDE + 3, WIDE), "mlp_g": _mlp(WIDE, WIDE)},
    "GENConv": lambda _: {"edge_dim": lambda: 4},
    "CGConv": lambda _: {"dim": lambda: 4},
    "GATConv": lambda _: {"heads": lambda: 4, "edge_dim": lambda: 4},
    "MLP": lambda _: {"channel_list": lambda: [16, 32, 8]},
    "DeepGraphInfomax": lambda package: {
        "encoder": lambda: package.GCNConv(WIDE, WIDE),
        "summary": lambda: lambda z, *_, **__: z.mean(dim=0),
        "corruption": lambda: lambda x, edge_index: (x.flip(0), edge_index),
    },
    "HeteroConv": lambda package: {
        "convs": lambda: {each: package.SAGEConv((WIDE, WIDE), WIDE) for each in _METADATA[1]}
    },
    "ChebConv": lambda _: {"K": lambda: 3},
    "LayerNorm": lambda _: {"mode": lambda: "graph"},
    "GroupAddRev": lambda package: {"conv": lambda: package.GCNConv(WIDE // 2, WIDE // 2), "num_groups": lambda: 2},
    "DMoNPooling": lambda _: {"channels": lambda: WIDE},
    "MLPAggregation": lambda _: {"num_layers": lambda: 2, "hidden_channels": lambda: 16},
    "Sequential": lambda package: {
        "input_args": lambda: "x, edge_index",
        "modules": lambda: [(package.GCNConv(WIDE, WIDE), "x, edge_index -> x"), nn.ReLU()],
    },
    "MetaPath2Vec": lambda _: {
        "edge_index_dict": lambda: _graph("")["edge_index_dict"],
        "metapath": lambda: [("a", "to", "b"), ("b", "to", "a")],
    },
    "TemporalEncoding": lambda _: {"out_channels": lambda: 8},
}


def _graph(name: str) -> dict[str, Any]:
    """What a forward's argument of that name is given: a graph of two components, sorted by its second row."""
    generator = torch.Generator().manual_seed(0)

    def draw(high: int, *shape: int) -> torch.Tensor:
        return torch.randint(0, high, shape, generator=generator)

    edges = draw(NODES, 2, EDGES)
    edges = edges[:, edges[1].argsort()]
    batch = torch.arange(NODES) // (NODES // 2)
    x = torch.rand(NODES, WIDE, generator=generator)
    dense = name.startswith("Dense") or name in (
        "DMoNPooling",
        "PerformerAttention",
        "SGFormerAttention",
        "QFormer",
        "PolynormerAttention",
    )
    one_a, one_b = draw(NODES, 2, 10), draw(NODES, 2, 10)
    return {
        "x": x[None] if dense else x,
        "x_0": torch.rand(NODES, WIDE, generator=generator),
        "xs": [x, x],
        "xs_dict": {"a": [x, x], "b": [x, x]},
        "x_dict": {"a": x, "b": x},
        "edge_index": edges,
        "edge_index_dict": {("a", "to", "b"): one_a, ("b", "to", "a"): one_b},
        "hyperedge_index": draw(4, 2, EDGES),
        "pos_edge_index": edges[:, :20],
        "neg_edge_index": edges[:, 20:],
        "edge_attr": torch.rand(EDGES, 3 if name in ("GMMConv", "SplineConv") else 4, generator=generator),
        "edge_weight": torch.rand(EDGES, generator=generator),
        "edge_type": draw(3, EDGES),
        "node_type": "a" if name == "MetaPath2Vec" else draw(2, NODES),
        "type_vec": draw(3, NODES).sort().values,
        "batch": batch,
        "index": batch,
        "dim_size": 2,
        "pos": torch.rand(NODES, 3, generator=generator),
        "normal": torch.rand(NODES, 3, generator=generator),
        "z": x if name == "InnerProductDecoder" else draw(10, NODES),
        "adj": (torch.rand(1, NODES, NODES, generator=generator) > 0.7).float(),
        "y": draw(4, NODES),
        "y_soft": torch.rand(NODES, 4, generator=generator),
        "mask": draw(2, NODES).bool(),
        "msg": torch.rand(NODES, WIDE, generator=generator),
        "M": torch.rand(NODES, NODES, generator=generator),
        "n_id": torch.arange(NODES),
        "head_index": draw(NODES, 8),
        "rel_type": draw(3, 8),
        "tail_index": draw(NODES, 8),
        "pos_enc": torch.rand(NODES, 8, generator=generator),
    }
