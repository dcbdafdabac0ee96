"""Models with operations that do more than compute are refused by name, at import and by a worker."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

keras = pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")
import tensorflow as tf  # noqa: E402
from tensorflow.core.framework import op_def_pb2  # noqa: E402
from tensorflow.core.framework.node_def_pb2 import NodeDef  # noqa: E402
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel  # noqa: E402
from tensorflow.python.client import pywrap_tf_session  # noqa: E402

from model.engines.base import Signature  # noqa: E402
from model.engines.savedmodel import SavedModelEngine  # noqa: E402
from model.engines.savedmodel_check import check_saved_model  # noqa: E402
from model.engines.savedmodel_ops import RESTORING, SAVING, SERVING, WRITING  # noqa: E402
from model.errors import ArtifactError  # noqa: E402
from model.training.errors import SourceError  # noqa: E402
from model.training.importing.savedmodel_source import SavedModelSource  # noqa: E402
from tests.file_operations import ATTACKS  # noqa: E402
from tests.networks import as_saved_model, network, traced  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

SIGNATURE = Signature(20, 16, 3, "float32", ("cat", "dog", "eel"), {})
SECRET = b"S3CRET"


def refusal_at_import(path: Path) -> str:
    with pytest.raises(SourceError) as refusal:
        SavedModelSource(path)
    return str(refusal.value)


def refusal_at_load(path: Path) -> str:
    with pytest.raises(ArtifactError) as refusal:
        SavedModelEngine(path, SIGNATURE)
    return str(refusal.value)


def refuse(path: Path, words: str) -> None:
    """Both refuse, and both say why in one line that holds `words`."""
    for said in (refusal_at_import(path), refusal_at_load(path)):
        assert words in said and "\n" not in said, said


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_signature_that_touches_files_is_refused_by_the_operation(attack: str, tmp_path: Path) -> None:
    name, of = ATTACKS[attack]
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)

    class Spy(tf.Module):  # type: ignore[misc]
        @traced(None, 20, 16, 3)
        def score(self, images: Any) -> Any:
            return {"scores": tf.zeros((tf.shape(images)[0], 3)) + tf.reshape(of(str(secret)), ()) / 255}

    spy = Spy()
    tf.saved_model.save(spy, str(tmp_path / "spy"), signatures=spy.score)
    assert name in {node.op for function in functions(tmp_path / "spy") for node in function.node_def}
    for said in (refusal_at_import(tmp_path / "spy"), refusal_at_load(tmp_path / "spy")):
        forbidden = re.search(r" runs (\w+) \(", said)
        assert forbidden and forbidden[1] not in SERVING | WRITING, said
    assert {path.name for path in tmp_path.iterdir()} == {"secret", "spy"} and secret.read_bytes() == SECRET


def functions(path: Path) -> Any:
    saved = SavedModel.FromString((path / "saved_model.pb").read_bytes())
    return saved.meta_graphs[0].graph_def.library.function


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return as_saved_model(tmp_path_factory.mktemp("good"), network())


@pytest.fixture
def model(good: Path, tmp_path: Path) -> Path:
    """A copy of a good SavedModel, to spoil: files may be links, folders not."""
    (tmp_path / "made" / "variables").mkdir(parents=True)
    for path in (path for path in good.rglob("*") if path.is_file()):
        (tmp_path / "made" / path.relative_to(good)).write_bytes(path.read_bytes())
    return tmp_path / "made"


def change(model: Path, how: Callable[[Any], Any]) -> None:
    """Change the MetaGraph of a SavedModel."""
    saved = SavedModel.FromString((model / "saved_model.pb").read_bytes())
    how(saved.meta_graphs[0])
    (model / "saved_model.pb").write_bytes(saved.SerializeToString())


def function_of(graph: Any, part: str) -> Any:
    return next(each for each in graph.graph_def.library.function if part in each.signature.name)


def test_a_valid_model_is_loaded(model: Path) -> None:
    assert SavedModelSource(model).spec.outputs == 3
    SavedModelEngine(model, SIGNATURE).close()


_OPERATIONS = """
    Abort AnonymousIteratorV3 AsyncCollective BigQueryReader CacheDataset CollectiveReduceV2
    ConfigureDistributedTPU CustomOp DebugIdentity DebugIdentityV3 DebugNumericSummaryV2 DumpTensor
    FileSystemSetConfiguration FixedLengthRecordReaderV2 GenerateVocabRemapping HashTableV2 ImportEvent
    InfeedEnqueue InitializeTableFromDataset InitializeTableFromTextFile IteratorFromStringHandleV2 LMDBReader
    LoadAndRemapMatrix LoadDataset LoadTPUEmbeddingADAMParameters MapDataset MatchingFilesDataset
    MergeV2Checkpoints MutableHashTableV2 OneShotIterator Print PyFuncStateless RaggedTensorToVariant Recv
    RemoteCall Restore RestoreSlice RpcCall RpcServer SaveDatasetV2 SaveSlices Send ShardedFilename
    SnapshotDatasetV2 SqlDataset TFRecordReaderV2 TPUExecute TextLineReaderV2 WriteGraphSummary
    WriteRawProtoSummary WriteScalarSummary XlaCallModule XlaHostCompute XlaLaunch _HostRecv _HostSend _Recv
    _XlaRecvAtHost
"""
OPERATIONS = _OPERATIONS.split()
"""Some that are registered and some that are not: what is not listed is refused, whatever it is."""

PLACES = {
    "a function that nothing calls": lambda graph: graph.graph_def.library.function.add(),
    "the signature's function": lambda graph: function_of(graph, "signature_wrapper"),
    "the graph itself": lambda graph: graph.graph_def,
    "the function that restores": lambda graph: function_of(graph, "traced_restore"),
    "the function that saves": lambda graph: function_of(graph, "traced_save"),
}


def put(place: Any, operation: str) -> None:
    nodes = place.node if hasattr(place, "node") else place.node_def
    nodes.append(NodeDef(name="evil", op=operation))
    if hasattr(place, "signature") and not place.signature.name:
        place.signature.name = "evil_function"


@pytest.mark.parametrize("place", PLACES)
def test_only_listed_operations_are_accepted(good: Path, tmp_path: Path, place: str) -> None:
    for operation in [*OPERATIONS, "ReadFile", "RestoreV2" if "restores" not in place else "SaveV2"]:
        if "saves" in place and operation in SAVING:
            continue
        copy = tmp_path / operation
        (copy / "variables").mkdir(parents=True)
        (copy / "saved_model.pb").write_bytes((good / "saved_model.pb").read_bytes())
        change(copy, lambda graph, operation=operation: put(PLACES[place](graph), operation))  # type: ignore[misc]
        with pytest.raises(ArtifactError, match=rf" runs {operation} \('evil' of "):
            check_saved_model(copy)


def test_no_listed_operation_accesses_files_or_processes() -> None:
    every = op_def_pb2.OpList()
    every.ParseFromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    names = {each.name for each in every.op}
    assert names >= SERVING | WRITING | RESTORING | SAVING, "a misspelt name allows nothing"
    beyond = (
        "File|Dataset|Save|Restore|Checkpoint|Summary|PyFunc|Print|Table|Debug|Rpc|Collective|Send|Recv|Reader|Iterator"
        "|Xla|Remote|Host|feed|Queue|Sql|Record|Dump|Stage|Session|Snapshot.+|TPU|Event|Memory|Immutable|Vocab|Proto"
    )
    assert {name for name in SERVING | WRITING if re.search(beyond, name)} == set()
    assert len([name for name in names if re.search(beyond, name)]) > 500


def test_a_stateful_signature_is_refused(tmp_path: Path) -> None:
    class Memory(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            self.last = tf.Variable(0.0)

        @traced(None, 20, 16, 3)
        def score(self, images: Any) -> Any:
            before = self.last.read_value()
            self.last.assign(tf.reduce_max(images))
            return {"scores": tf.zeros((tf.shape(images)[0], 3)) + before}

    memory = Memory()
    tf.saved_model.save(memory, str(tmp_path / "memory"), signatures=memory.score)
    refuse(tmp_path / "memory", "writes a variable with AssignVariableOp")


def test_the_saver_reads_its_own_file_alone(model: Path) -> None:
    def other_file(graph: Any) -> None:
        function = function_of(graph, "traced_restore")
        const = next(node for node in function.node_def if node.op == "Const")
        for node in function.node_def:
            if node.op == "RestoreV2":
                node.input[0] = f"{const.name}:output:0"

    change(model, other_file)
    refuse(model, "RestoreV2")


def test_the_saver_is_given_no_other_file(model: Path) -> None:
    def other_file(graph: Any) -> None:
        for node in graph.graph_def.node:
            if node.name == "saver_filename":
                node.op = "Const"

    change(model, other_file)
    refuse(model, "restores its variables with Const")


@pytest.mark.parametrize("caller", ["signature_wrapper", "traced_restore"])
def test_no_other_function_may_call_the_saver(model: Path, caller: str) -> None:
    def call(graph: Any) -> None:
        node = NodeDef(name="call", op="StatefulPartitionedCall")
        node.attr["f"].func.name = function_of(graph, "traced_save").signature.name
        function_of(graph, caller).node_def.append(node)

    change(model, call)
    said = refusal_at_load(model)
    assert any(f" runs {operation} (" in said for operation in SAVING), said


def test_the_object_graph_cannot_redirect_the_saver(model: Path) -> None:
    def expose(graph: Any) -> None:
        name = function_of(graph, "traced_restore").signature.name
        graph.object_graph_def.concrete_functions[name].bound_inputs.extend([])

    change(model, expose)
    refuse(model, "runs RestoreV2")


def twice(graph: Any) -> None:
    graph.graph_def.library.function.append(function_of(graph, "signature_wrapper"))


def as_asset(graph: Any) -> None:
    graph.asset_file_def.add().filename = "../../secret"


def as_kind(graph: Any) -> None:
    graph.object_graph_def.nodes.add().asset.asset_file_def_index = 0


def registered(graph: Any) -> None:
    graph.object_graph_def.nodes[0].registered_name = "Custom>Class"


def splat(graph: Any) -> None:
    node = graph.graph_def.node.add(name="huge", op="Const")
    for size in (1 << 20, 1 << 20):
        node.attr["value"].tensor.tensor_shape.dim.add().size = size
    node.attr["value"].tensor.float_val.append(0)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (twice, "gives one name to two nodes or to two functions"),
        (as_asset, "reads the asset file '../../secret'"),
        (as_kind, "an object of the kind 'asset'"),
        (registered, "an object of the kind 'Custom>Class'"),
        (splat, "constants of 1,099,511,"),
        (lambda graph: graph.ClearField("object_graph_def"), "the format of TensorFlow 1"),
    ],
)
def test_other_malformed_graphs_are_refused(model: Path, how: Callable[[Any], Any], words: str) -> None:
    change(model, how)
    refuse(model, words)


@pytest.mark.parametrize(
    "name", ["saved_model.pbtxt", "saved_model.cpb", "assets/words.txt", "variables/other", "assets.extra/request"]
)
def test_other_files_are_refused(model: Path, name: str) -> None:
    (model / name).parent.mkdir(exist_ok=True)
    (model / name).write_text("")
    refuse(model, f"holds the file {name}")


def test_links_are_refused(model: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(SECRET)
    data = model / "variables" / "variables.data-00000-of-00001"
    data.unlink()
    data.symlink_to(tmp_path / "secret")
    refuse(model, f"holds the link variables/{data.name}")


@pytest.mark.parametrize("data", [b"", b"\xff" * 100, b"nonsense"])
def test_a_damaged_graph_is_refused(model: Path, data: bytes) -> None:
    (model / "saved_model.pb").write_bytes(data)
    assert "saved_model.pb" in refusal_at_import(model) and "saved_model.pb" in refusal_at_load(model)
