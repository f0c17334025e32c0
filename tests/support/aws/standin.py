"""AWS's stand-in: moto's server on a port that the system chooses, for as long as its parent lives.

Listens on 127.0.0.1, or on the address that its argument names. Prints the port as its first line, once it takes
connections. Ends when standard input is closed, which happens to the pipe of a parent that was killed, too.

Where moto is not what AWS is, and it matters to the bot: CloudWatch (cloudwatch.py) and IAM (policies.py),
which is enforced once POST /moto-api/reset-auth has said so.
"""

import logging
import os
import sys
import threading
import traceback

from flask import got_request_exception
from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

import cloudwatch
import policies


def end_with_the_parent():
    # os.read, not sys.stdin: a lock of the latter would be held when the interpreter ends
    while os.read(0, 4096):
        pass
    os._exit(0)


def report(_, exception, **__):
    traceback.print_exception(exception)


def main():
    policies.install()
    cloudwatch.install()
    # a line a request would hide what a failed test has to say
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    got_request_exception.connect(report)
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"
    application = DomainDispatcherApplication(create_backend_app)
    server = make_server(address, 0, application, threaded=True, request_handler=MotoRequestHandler)
    threading.Thread(target=end_with_the_parent, daemon=True).start()
    print(server.port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    sys.exit(main())
