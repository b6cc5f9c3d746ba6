"""agc-v1 of one simulated sample as a coffea processor: the same histograms, by the same definition."""

import io
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from reference_common import smearing

MIN_PT = 30.0
MIN_BTAG = 0.5
CHUNK = 100_000
PERMUTATIONS = np.array([each for each in permutations(range(4)) if each[0] > each[1]])
REGIONS = ("4j1b", "4j2b")


@dataclass(frozen=True)
class Result:
    """What coffea has made of a sample."""

    cpu_s: float
    histograms: Mapping[tuple[str, str], NDArray[np.float64]]
    """By region and variation, with underflow and overflow, for events of weight one."""


def features(lepton: Any, jets: Any) -> NDArray[np.float32]:
    """The features of the twelve permutations of four jets."""
    eta, phi, mass, pt = ((jets[name].to_numpy())[:, PERMUTATIONS] for name in ("eta", "phi", "mass", "pt"))
    a, b, c, d = range(4)
    l_eta, l_phi, l_mass = (lepton[name].to_numpy()[:, None] for name in ("eta", "phi", "mass"))
    d_eta = [l_eta - eta[..., d], *(eta[..., i] - eta[..., j] for i, j in ((a, b), (a, c), (b, c)))]
    d_phi = [l_phi - phi[..., d], *(phi[..., i] - phi[..., j] for i, j in ((a, b), (a, c), (b, c)))]
    columns = [np.hypot(one, other) for one, other in zip(d_eta, d_phi, strict=True)]
    columns += [np.abs(each) for each in d_phi]
    columns += [l_mass + mass[..., d], mass[..., a] + mass[..., b], mass[..., a] + mass[..., b] + mass[..., c]]
    columns += [pt[..., i] for i in range(4)] + [mass[..., i] for i in range(4)]
    return np.stack(columns, axis=-1)


def run(paths: Sequence[str], tree: str, model: Path, seed: int, chunks: int | None) -> Result:
    """Process files, or some chunks of each."""
    import awkward as ak
    import hist
    import xgboost
    from coffea import processor
    from coffea.nanoevents import NanoAODSchema
    from coffea.nanoevents.methods import vector

    NanoAODSchema.warn_missing_crossrefs = False
    booster = xgboost.Booster({"nthread": 1}, model_file=str(model))

    def in_double(particles: Any, *others: str) -> Any:
        names = ("pt", "eta", "phi", "mass", *others)
        columns = {name: ak.values_astype(particles[name], np.float64) for name in names}
        return ak.zip(columns, with_name="PtEtaPhiMLorentzVector", behavior=vector.behavior)

    class Ttbar(processor.ProcessorABC):  # type: ignore[misc]
        def process(self, events: Any) -> Any:
            electrons, muons = (each[each.pt > MIN_PT] for each in (events.Electron, events.Muon))
            one = ak.num(electrons) + ak.num(muons) == 1
            events, electrons, muons = events[one], electrons[one], muons[one]
            lepton = ak.concatenate([in_double(electrons), in_double(muons)], axis=1)[:, 0]
            stored = in_double(events.Jet, "btagCSVV2")
            n_jets, jet = ak.num(stored.pt), ak.local_index(stored.pt)
            names = ("run", "luminosityBlock", "event")
            run, block, event = (np.repeat(events[name].to_numpy(), n_jets) for name in names)
            smeared = ak.unflatten(smearing(run, block, event, ak.flatten(jet).to_numpy(), seed), n_jets)
            scales = {"nominal": 1.0, "pt_scale_up": 1.03, "pt_res_up": smeared}
            filled = {
                region: hist.Hist(
                    hist.axis.StrCategory([], growth=True, name="variation"),
                    hist.axis.Regular(25, 50, 550, name="observable"),
                    hist.axis.Regular(25, 0, 2 * np.pi, name="deltaR"),
                    storage=hist.storage.Double(),
                )
                for region in REGIONS
            }
            for universe, scale in scales.items():
                scaled = ak.with_field(stored, stored.pt * scale, "scaled")
                self.fill(filled, universe, scaled[scaled.scaled > MIN_PT], lepton)
            return filled

        def fill(self, filled: Mapping[str, Any], universe: str, jets: Any, lepton: Any) -> None:
            loose, tight = (ak.sum(cut, axis=1) for cut in (jets.btagCSVV2 >= MIN_BTAG, jets.btagCSVV2 > MIN_BTAG))
            four = ak.num(jets) >= 4
            for region, passes in zip(REGIONS, (four & (loose == 1), four & (tight >= 2)), strict=True):
                chosen = jets[passes]
                observable = ak.sum(chosen.scaled, axis=1) if region == "4j1b" else self.trijet_mass(chosen)
                rows = features(lepton[passes], chosen[:, :4])
                score = booster.inplace_predict(rows.reshape(-1, rows.shape[-1]).astype(np.float32))
                best = np.argmax(score.reshape(len(rows), -1), axis=1)
                angle = rows[np.arange(len(rows)), best, 5]
                values = {"observable": observable.to_numpy(), "deltaR": angle}
                filled[region].fill(variation=universe, **values)
                if universe != "nominal":
                    continue
                shifts = 0.075 * chosen.pt[:, :4].to_numpy() / 50
                for number in range(4):
                    for direction, sign in {"up": 1, "down": -1}.items():
                        weight = 1 + sign * shifts[:, number]
                        filled[region].fill(variation=f"btag_var_{number}_{direction}", **values, weight=weight)

        def trijet_mass(self, jets: Any) -> Any:
            one, two, three = ak.unzip(ak.combinations(jets, 3))
            trijet = one + two + three
            tagged = (one.btagCSVV2 > MIN_BTAG) | (two.btagCSVV2 > MIN_BTAG) | (three.btagCSVV2 > MIN_BTAG)
            trijet = trijet[tagged]
            return ak.flatten(trijet[ak.argmax(trijet.pt, axis=1, keepdims=True)].mass)

        def postprocess(self, accumulator: Any) -> Any:
            return accumulator

    runner = processor.Runner(
        executor=processor.IterativeExecutor(),
        schema=NanoAODSchema,
        chunksize=CHUNK,
        maxchunks=chunks,
        savemetrics=False,
    )
    begun = time.process_time()
    with redirect_stdout(io.StringIO()):  # its progress
        found = runner({"ttbar": list(paths)}, Ttbar(), treename=tree)
    seconds = time.process_time() - begun
    histograms = {
        (region, variation): np.pad(filled[variation, ...].values(flow=True)[:, 1:-1], ((0, 0), (1, 1)))
        for region, filled in found.items()
        for variation in filled.axes["variation"]
    }
    return Result(seconds, histograms)
