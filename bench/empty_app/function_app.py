"""What does the host alone take? A function that answers and does nothing else."""

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)


@app.route(route="alerts", methods=["POST"])
def receive_alert(req: func.HttpRequest) -> func.HttpResponse:
    """Answer."""
    req.get_body()
    return func.HttpResponse("{}", mimetype="application/json")
