"""An app with a trigger that the local host does not know."""

import azure.functions as func

app = func.FunctionApp()


@app.blob_trigger(arg_name="blob", path="box/{name}", connection="AzureWebJobsStorage")
def read(blob: func.InputStream) -> None:
    """Do nothing: it is never called."""
