"""Input files, and what can be wrong with them: a kind of damage is a function that makes a bad file of a good one."""

import os
import shutil

from ttbar.analyses.agc_v1 import COLUMNS
from ttbar.library import load_root

ENTRIES = 500
"""Events of a good file, all of them generated ones."""

FORMATS = ("TTree", "RNTuple")
COMPRESSIONS = {"none": 0, "ZLIB": 101, "LZMA": 207, "LZ4": 404, "ZSTD": 505}

DAMAGED_COLUMN = "Jet_pt"
"""The column of which values are damaged; each event with a lepton needs it."""


def write_good(path, number=0, format_="TTree", compression="ZLIB"):
    """Write a good file, of which each number has other events, in several clusters."""
    root = load_root()
    draft = path.with_suffix(".draft")
    root.ttbar.simulate(str(draft), root.ttbar.SimulationOptions("ttbar__nominal", ENTRIES, number, 1, False))
    save(root.RDataFrame("Events", str(draft)), path, format_, COMPRESSIONS[compression])
    draft.unlink()
    return path


def save(frame, path, format_, compression, columns=tuple(COLUMNS), tree="Events"):
    """Write columns of a dataframe to a file, in small clusters."""
    options = load_root().RDF.RSnapshotOptions()
    options.fMode = "RECREATE"
    options.fCompressionAlgorithm, options.fCompressionLevel = divmod(compression, 100)
    options.fOutputFormat = getattr(load_root().RDF.ESnapshotOutputFormat, f"k{format_}")
    if format_ == "TTree":
        options.fAutoFlush = 100  # events
    else:
        options.fApproxZippedClusterSize = 10_000
        options.fMaxUnzippedClusterSize = 20_000
        options.fInitialUnzippedPageSize = 256
        options.fMaxUnzippedPageSize = 1_000
    frame.Snapshot(tree, str(path), list(columns), options)
    return path


def format_of(path):
    root = load_root()
    with root.TFile.Open(str(path)) as opened:
        return "RNTuple" if isinstance(opened.Get("Events"), root.RNTuple) else "TTree"


def rewrite(path, good, change=lambda frame: frame, **options):
    """Write a file of the events of a good one, after a change."""
    frame = change(load_root().RDataFrame("Events", str(good)))
    return save(frame, path, format_of(good), COMPRESSIONS["ZLIB"], **options)


def missing(path, good):
    pass


def directory(path, good):
    path.mkdir()


def pipe(path, good):
    os.mkfifo(path)


def empty(path, good):
    path.touch()


def text(path, good):
    path.write_text("run,event\n1,1\n")


def truncated_in_the_header(path, good):
    path.write_bytes(good.read_bytes()[:50])


def truncated_at(share):
    def truncated(path, good):
        content = good.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])

    truncated.__name__ = f"truncated_at_{share:.0%}"
    return truncated


def truncated_in_the_middle(path, good):
    truncated_at(0.5)(path, good)


def truncated_by_a_byte(path, good):
    path.write_bytes(good.read_bytes()[:-1])


def unclosed(path, good):
    """What a writer leaves that dies."""
    root = load_root()
    draft = path.with_suffix(".draft")
    with root.TFile.Open(str(good)) as source, root.TFile.Open(str(draft), "RECREATE") as opened:
        events = source.Get("Events")
        if isinstance(events, root.RNTuple):
            model = root.RNTupleModel.Create()
            model.MakeField["std::uint32_t"]("run")
            writer = root.RNTupleWriter.Append(model, "Events", opened)
            writer.Fill(writer.CreateEntry())
            writer.CommitCluster()
        else:
            writer = events.CloneTree(-1, "fast")
            writer.AutoSave()
        opened.Flush()
        shutil.copy(draft, path)
        del writer  # while the file is open
    draft.unlink()


def header_of_ones(path, good):
    path.write_bytes(b"root" + b"\xff" * 96 + good.read_bytes()[100:])


def header_of_zeros(path, good):
    path.write_bytes(b"root" + bytes(96) + good.read_bytes()[100:])


def header_that_points_behind_the_end(position):
    def header(path, good):
        content = bytearray(good.read_bytes())
        content[position] = 1
        path.write_bytes(content)

    header.__name__ = f"header_that_points_behind_the_end_at_{position}"
    return header


def hole_of_zeros_at_the_end(path, good):
    content = good.read_bytes()
    path.write_bytes(content[:-1000] + bytes(1000))


def no_tree(path, good):
    rewrite(path, good, tree="Runs")


def histogram_for_a_tree(path, good):
    root = load_root()
    with root.TFile.Open(str(path), "RECREATE") as opened:
        opened.WriteObject(root.TH1D("h", "", 1, 0, 1), "Events")


def folder_for_a_tree(path, good):
    with load_root().TFile.Open(str(path), "RECREATE") as opened:
        opened.mkdir("Events")


def no_column(path, good):
    rewrite(path, good, columns=[name for name in COLUMNS if name != DAMAGED_COLUMN])


def doubles_for_floats(path, good):
    rewrite(path, good, lambda frame: frame.Redefine("Jet_pt", "ROOT::RVecD(Jet_pt.begin(), Jet_pt.end())"))


def integers_for_floats(path, good):
    rewrite(path, good, lambda frame: frame.Redefine("Jet_pt", "ROOT::RVecI(Jet_pt.begin(), Jet_pt.end())"))


def float_for_floats(path, good):
    rewrite(path, good, lambda frame: frame.Redefine("Jet_pt", "30.f"))


def one_entry_fewer(path, good):
    rewrite(path, good, lambda frame: frame.Range(ENTRIES - 1))


def one_entry_more(path, good):
    frame = load_root().RDataFrame("Events", [str(good), str(good)]).Range(ENTRIES + 1)
    save(frame, path, format_of(good), COMPRESSIONS["ZLIB"])


def copy(path, good):
    shutil.copy(good, path)


def unreadable(path, good):
    """Make a file that nobody may read, apart from a superuser."""
    shutil.copy(good, path)
    path.chmod(0)


UNUSABLE = {
    missing: "No such file",
    directory: "not a file",
    pipe: "not a file",
    empty: "empty",
    text: "not a ROOT file",
    truncated_in_the_header: "",
    truncated_at(0.05): "",
    truncated_in_the_middle: "",
    truncated_at(0.99): "",
    truncated_by_a_byte: "",
    unclosed: "",
    header_of_ones: "",
    header_of_zeros: "",
    header_that_points_behind_the_end(16): "",  # the first byte of where the free segments are
    header_that_points_behind_the_end(37): "",  # and the streamers
    hole_of_zeros_at_the_end: "",
    no_tree: "'Events' (--tree), but Runs",
    histogram_for_a_tree: "TH1D",
    folder_for_a_tree: "TDirectory",
    no_column: "'Jet_pt'",
    doubles_for_floats: "RVec<double>, not RVec<float>",
    integers_for_floats: "RVec<int>, not RVec<float>",
    float_for_floats: "type float, not RVec<float>",
    one_entry_fewer: f"{ENTRIES - 1} entries where the data set says {ENTRIES}",
    one_entry_more: f"{ENTRIES + 1} entries where the data set says {ENTRIES}",
}
"""The kinds that are seen without reading events, and words that say so."""


def name_of(kind):
    """What a kind of damage is called, in plain English."""
    return kind.__name__.replace("_", " ")


def baskets_of(path):
    """Where the baskets of the damaged column are in a file with a TTree: the first byte of each, and how many."""
    with load_root().TFile.Open(str(path)) as opened:
        branch = opened.Get("Events").GetBranch(DAMAGED_COLUMN)
        numbers = range(branch.GetWriteBasket())
        return [(int(branch.GetBasketSeek(number)), branch.GetBasketBytes()[number]) for number in numbers]


def pages_of(path):
    """Where the pages of the damaged column are in a file with an RNTuple, in the same way."""
    root = load_root()
    with root.TFile.Open(str(path)) as opened:
        descriptor = root.RNTupleReader.Open(opened.Get("Events")).GetDescriptor()
        elements = descriptor.FindFieldId("_0", descriptor.FindFieldId(DAMAGED_COLUMN))
        column = descriptor.FindPhysicalColumnId(elements, 0, 0)
        clusters = map(descriptor.GetClusterDescriptor, range(descriptor.GetNClusters()))
        places = [page.GetLocator() for cluster in clusters for page in cluster.GetPageRange(column).GetPageInfos()]
        return [(int(place.GetPosition["std::uint64_t"]()), int(place.GetNBytesOnStorage())) for place in places]


def values_of(path):
    """Where the values of the damaged column are in a file: where each of its baskets or pages begins and ends."""
    if format_of(path) == "RNTuple":
        return [(start, start + size) for start, size in pages_of(path)]
    content = path.read_bytes()
    # The key before the values says how long it is.
    return [
        (start + int.from_bytes(content[start + 14 : start + 16], "big"), start + size)
        for start, size in baskets_of(path)
    ]


ZIP_HEADER = 9
"""Bytes before the compressed values of a basket that say how they are compressed."""


def flipped_bits(path, good):
    """Flip all bits of a byte in each basket or page."""
    content = bytearray(good.read_bytes())
    for start, stop in values_of(good):
        content[start + ZIP_HEADER + (stop - start) // 10] ^= 0xFF
    path.write_bytes(content)


def hole_of_zeros(path, good):
    """Overwrite what is stored in the middle of a file, among it some baskets or pages."""
    content = bytearray(good.read_bytes())
    baskets = values_of(good)
    start, stop = baskets[len(baskets) // 2][0], baskets[len(baskets) // 2 + 1][1]
    content[start:stop] = bytes(stop - start)
    path.write_bytes(content)


def basket_of_wrong_length(path, good):
    """Damage what the key of a basket says of its length: ROOT takes compressed values for uncompressed ones then."""
    content = bytearray(good.read_bytes())
    baskets = baskets_of(good)
    start, _ = baskets[len(baskets) // 2]
    content[start + 2] ^= 0xFF
    path.write_bytes(content)
