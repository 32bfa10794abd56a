"""Says what this Python is and where it imports from. Run as a script by the one that is asked, 3.6 or later.

One line of JSON; nothing but the standard library is imported, and nothing of the environment is run. There is no
`from __future__ import annotations` here: it is what Python 3.6 would stumble over.
"""

import json
import platform
import site
import sys


def main() -> None:
    # A script's own folder stands first, unless Python was told otherwise.
    folders = sys.path if getattr(sys.flags, "safe_path", False) else sys.path[1:]
    facts = {
        "release": platform.python_version(),
        "prefix": sys.prefix,
        "cache_tag": sys.implementation.cache_tag,
        "implementation": sys.implementation.name,
        "architecture": platform.machine(),
        "user_site": site.getusersitepackages() if site.ENABLE_USER_SITE else None,
        "folders": folders,
    }
    sys.stdout.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()
