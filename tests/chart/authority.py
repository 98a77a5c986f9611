"""Issues what cert-manager's Certificates ask for, with openssl: what they name is what the planes will see."""

import pathlib
import subprocess


def secrets(certificates, scratch):
    """Keys and values of the Secrets, by name."""
    made, authorities = {}, {}
    for spec in sorted((c["spec"] for c in certificates), key=lambda s: not s.get("isCA")):
        directory = pathlib.Path(scratch) / spec["secretName"]
        directory.mkdir()
        if spec.get("isCA"):
            made[spec["secretName"]] = authorities[spec["secretName"]] = root(directory)
            continue
        issuer = spec["issuerRef"]["name"]
        if issuer not in authorities:
            elsewhere = pathlib.Path(scratch) / f"issuer-{issuer}"
            elsewhere.mkdir()
            authorities[issuer] = root(elsewhere)
        made[spec["secretName"]] = issue(directory, spec, authorities[issuer])
    return made


def root(directory):
    openssl(directory, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=authority", "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", "tls.key", "-out", "tls.crt")
    certificate = (directory / "tls.crt").read_text()
    return {"tls.crt": certificate, "tls.key": (directory / "tls.key").read_text(), "ca.crt": certificate}


def issue(directory, spec, authority):
    names = [f"DNS:{n}" for n in spec.get("dnsNames", [])] + [f"IP:{a}" for a in spec.get("ipAddresses", [])]
    names += [f"URI:{u}" for u in spec.get("uris", [])]
    uses = {"server auth": "serverAuth", "client auth": "clientAuth"}
    purposes = ",".join(uses[u] for u in spec["usages"] if u in uses)
    (directory / "ca.crt").write_text(authority["tls.crt"])
    (directory / "ca.key").write_text(authority["tls.key"])
    (directory / "names").write_text(f"subjectAltName={','.join(names)}\nextendedKeyUsage={purposes}\n")
    openssl(directory, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/",
            "-keyout", "tls.key", "-out", "request")
    openssl(directory, "x509", "-req", "-in", "request", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "1", "-extfile", "names", "-out", "tls.crt")
    return {k: (directory / k).read_text() for k in ("tls.crt", "tls.key", "ca.crt")}


def openssl(directory, *args):
    subprocess.run(["openssl", *args], cwd=directory, check=True, capture_output=True, timeout=30)
