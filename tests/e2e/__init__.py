"""The whole story in a real browser: from onboarding to the removal of the account.

What runs
    A real Home Assistant and the simulator, started as `scripts/develop` starts them, in a fresh folder, and a
    Chromium that is steered by Playwright. Whoever reads `story.py` reads what a user does and sees; each step also
    asks the simulator what arrived there.

    `story.py`        the steps, in the user's words
    `frontend.py`     how the pages of Home Assistant's frontend are operated; all that differs between versions is here
    `browser.py`      finding and starting Chromium
    `camera.py`       pictures, for the README (`scripts/screenshots`) and of a failure
    `screenshots.py`  the story once more, for its pictures

What it needs
    Chromium or Chrome on the PATH (Debian: `apt install chromium`), or at the path in `ENIRIS_CHROMIUM`. Playwright's own
    browsers are neither needed nor fetched. Without any the test is skipped, but fails where `ENIRIS_E2E=required` says
    that there has to be one.

When it fails
    The failure names the step. A picture of the page, what its console said and both logs are kept in `.cache/e2e`.

Texts are looked up in `translations/en.json`, so that better words break nothing here.
"""
