"""`python -m infra.asyncapi`: write `schemas/asyncapi.yaml` anew."""

from infra.asyncapi import PATH, as_text, document

if __name__ == "__main__":
    PATH.write_text(as_text(document()), encoding="utf-8")
