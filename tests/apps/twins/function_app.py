"""An app in which two functions want the same requests."""

import azure.functions as func

app = func.FunctionApp()


@app.route(route="same", methods=["GET", "POST"])
def first(req: func.HttpRequest) -> str:  # noqa: ARG001 -- the binding's name
    return "first"


@app.route(route="Same", methods=["POST"])
def second(req: func.HttpRequest) -> str:  # noqa: ARG001 -- the binding's name
    return "second"
