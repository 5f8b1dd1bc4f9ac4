"""What rules, the queue and Azure's own list need is imported where it is needed: a cold start is measured."""

import subprocess
import sys


def test_jinja_is_imported_only_where_a_template_needs_it() -> None:
    code = """
import sys
import tracemalloc
import function_app
lazy = {"yaml", "msgspec", "jinja2", "zoneinfo", "azure.storage.queue", "azure.identity"}
lazy |= {"itsm_bridge.resource_manager"}
assert not lazy & set(sys.modules), lazy & set(sys.modules)
from itsm_bridge import app
app.built_in_rules()
text = 'version: 1\\nrules: [{ name: a, set: { category: "{{ severity }} of {{ resource.name }}" } }]'
app.compile_rules(text)
assert "jinja2" not in sys.modules
app.compile_rules(text.replace("severity }}", "severity | lower }}"))
assert "jinja2" in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
