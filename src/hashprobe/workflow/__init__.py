"""The steps of an audit over a run folder: train, encode, attack, report.

    run.json            what was asked, one section a step
    data.json           sizes and checksum of the data, and what the checks on loading saw
    digests.npz         size, times, number and digest of the data's files
    model/              the checkpoint
    codes/              query.npz and database.npz: packed codes, labels, positions
    attacks/NAME/       one attack: its queries, PNGs, attack.json and evaluation.json
    universal/NAME/     changes that queries share: universal.json, changes.npz and evaluation.json
    report.html         the page

Each step can be killed at any moment; the same call goes on.
"""

import lazy_loader


__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
