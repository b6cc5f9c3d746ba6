"""Which columns are read when only the reading of files is measured."""


def _columns(collection: str, quantities: str) -> list[str]:
    return [f"{collection}_{quantity}" for quantity in quantities.split()]


_STEPS = {
    "2.7": [*_columns("Jet", "pt eta phi btagCSVV2 mass"), "Muon_pt", "Electron_pt"],
    "4": [
        *_columns("Electron", "phi eta mass"),
        *_columns("Muon", "phi eta mass"),
        *_columns("Photon", "pt eta mass"),
        "Jet_jetId",
    ],
    "15": _columns(
        "Jet",
        "nConstituents electronIdx1 electronIdx2 muonIdx1 muonIdx2 chHEF area puId qgl btagDeepB btagDeepCvB "
        "btagDeepCvL btagDeepFlavB btagDeepFlavCvB btagDeepFlavCvL btagDeepFlavQG chEmEF chFPV0EF muEF "
        "muonSubtrFactor neEmEF neHEF puIdDisc",
    ),
    "25": [
        *_columns("Jet", "rawFactor bRegCorr bRegRes cRegCorr cRegRes nElectrons nMuons"),
        *_columns("GenJet", "pt eta phi mass"),
        *_columns("Tau", "pt eta mass phi"),
        *_columns("Muon", "dxy dxyErr dxybs dz dzErr"),
        *_columns(
            "Electron",
            "dxy dxyErr dz dzErr eInvMinusPInv energyErr hoe ip3d jetPtRelv2 jetRelIso miniPFRelIso_all "
            "miniPFRelIso_chg mvaFall17V2Iso mvaFall17V2noIso pfRelIso03_all pfRelIso03_chg r9 scEtOverPt sieie "
            "sip3d mvaTTH charge cutBased jetIdx pdgId photonIdx tightCharge",
        ),
    ],
    "50": _columns("GenPart", "pt eta phi mass genPartIdxMother pdgId status statusFlags"),
}

IO_LEVELS = {
    percent: tuple(column for step in list(_STEPS.values())[: level + 1] for column in step)
    for level, percent in enumerate(_STEPS)
}
"""What is read, by the share of a NanoAOD file in percent, when only reading is measured."""
