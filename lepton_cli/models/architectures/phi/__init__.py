"""Phi."""

from lepton_cli.models.entry import Entry

ENTRIES = {
    "phi2": Entry("phi2:Phi2", "Phi 1 to 2", ("archs/phi2-dense",)),
    "phi3": Entry("phi3:Phi3", "Phi 3 to 4", ("archs/phi3-dense", "more/rope-longrope")),
    "phimoe": Entry("phimoe:PhiMoe", "Phi 3.5 with experts"),
}
