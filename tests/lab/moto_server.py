"""moto's server, with conditional writes that hold when two come at the same time.

moto answers each request on a thread of its own and looks for the object first and puts it later, so
that of two writers with `If-None-Match: *` both may be let. S3 lets one. Here the look and the write are
one act. Arguments: those of moto_server.
"""

import functools
import sys
import threading

from moto.s3.responses import S3Response
from moto.server import main

# Re-entrant: one of these may call another.
ONE_AT_A_TIME = threading.RLock()


def alone(act):
    @functools.wraps(act)
    def locked(*args, **kwargs):
        with ONE_AT_A_TIME:
            return act(*args, **kwargs)

    return locked


for name in ("put_object", "copy_object", "delete_object", "_key_response_post"):
    # A moto that calls them otherwise must not go unnoticed.
    setattr(S3Response, name, alone(getattr(S3Response, name)))

if __name__ == "__main__":
    sys.exit(main())
