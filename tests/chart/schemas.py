"""Schemas of Kubernetes itself, and of what others add to it."""

import functools

import jsonschema
import kubernetes_validate
import yaml

import helm
import policy


def problems(objects, version):
    """What no API server of this version would take. Rules in CEL are not looked at."""
    found = []
    for o in objects:
        schema = custom().get((o["apiVersion"], o["kind"]))
        try:
            if schema is None:
                kubernetes_validate.validate(o, version, strict=True)
            else:
                jsonschema.Draft7Validator(schema).validate(o)
        except (kubernetes_validate.ValidationError, jsonschema.ValidationError) as e:
            found.append(f"{policy.title(o)}: {e.message}")
        except kubernetes_validate.SchemaNotFoundError as e:
            found.append(f"{policy.title(o)}: {e}")
    return found


@functools.cache
def custom():
    """Schemas of CustomResourceDefinitions, by API version and kind; unknown fields are refused."""
    schemas = {}
    for path in (helm.TOOLS / "crds").glob("*.yaml"):
        for definition in yaml.load_all(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if not definition or definition["kind"] != "CustomResourceDefinition":
                continue
            spec = definition["spec"]
            for version in (v for v in spec["versions"] if v["served"]):
                schema = closed(version["schema"]["openAPIV3Schema"])
                schema["properties"]["metadata"] = {"type": "object"}
                schemas[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    return schemas


def closed(schema):
    """A schema of OpenAPI in which objects have no other fields than those it names."""
    schema = {k: v for k, v in schema.items() if k not in ("format", "x-kubernetes-validations")}
    if schema.pop("x-kubernetes-int-or-string", False):
        return {"type": ["integer", "string"]}
    if schema.pop("nullable", False):
        schema["type"] = [schema["type"], "null"]
    if "properties" in schema:
        schema["properties"] = {k: closed(v) for k, v in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema["additionalProperties"] = False
    elif isinstance(schema.get("additionalProperties"), dict):
        schema["additionalProperties"] = closed(schema["additionalProperties"])
    if "items" in schema:
        schema["items"] = closed(schema["items"])
    return schema
