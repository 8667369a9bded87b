"""One run: its nodes, when each ran, what it waits for, and what to type next."""

from __future__ import annotations

from starlette.requests import Request

from ion.views.words import role_of, symbol
from ion.web.html import h
from ion.web.site import Page, Site


def page(site: Site, request: Request) -> Page:
    """The run as a tree with a timeline."""
    run_id = site.workspace.find_run(request.path_params["run"]).run_id
    with site.readers.read(run_id) as run:
        nodes = [
            h("li", h("span", symbol(node.status), class_=role_of(node.status)), " ", node.id)
            for node in run.state.nodes.values()
            if not node.owner
        ][:100]
        return Page(run_id, h("section", h("h1", run.workflow, " ", run_id), h("p", run.status), h("ul", *nodes)))
