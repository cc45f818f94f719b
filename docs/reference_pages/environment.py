"""The page of exit codes and environment variables; a test compares the tables with the code."""

from __future__ import annotations

from reference_pages.markdown import code, table

EXIT_CODES = {
    "0": "Success. A reader that closes the pipe early, as `head` does, is not an error.",
    "1": "An error, reported as `error: WHERE: WHAT` and `hint: WHAT TO DO`. Nothing half-written has the name of an output.",
    "2": "Wrong usage: an unknown command or option, a missing argument, or options that contradict each other.",
    "130": "Stopped by Ctrl-C (SIGINT). `ie train` writes a checkpoint first; `--resume` resumes from it.",
    "143": "Stopped by SIGTERM, in the same way.",
}
VARIABLES = {
    "IE_MODEL": "The model of `ie predict`, `eval`, `serve`, `embed`, `search` and `link` if none is given. Default: the newest "
    "one under `runs/`.",
    "IE_TOKEN": "The token that requests to `ie serve` must have. Unlike `--token`, other users do not see it in `ps`.",
    "IE_CACHE": "The directory in which encoded training data are kept between runs.",
    "XDG_CACHE_HOME": "If `IE_CACHE` is not set, that directory is `ie` in this one (absolute), by default in `~/.cache`.",
    "IE_DEBUG": "Any value except an empty one or `0`: errors are printed with their traceback, as with `--debug`.",
    "WANDB_PROJECT": "The project of the Weights & Biases logger (`training.trackers: [wandb]`).",
    "WANDB_NAME": "The name of the run in Weights & Biases; the recipe's name by default.",
    "RANK, LOCAL_RANK, WORLD_SIZE": "Set by launchers such as `torchrun`; `ie train` then is one of several processes.",
    "OMP_WAIT_POLICY": "If it is not set, `ie` sets `GOMP_SPINCOUNT=1000`, so that simultaneous commands share the cores.",
}
"""The variables that the code of `ie` reads, with their meaning."""
LIBRARIES = {
    "HF_HUB_OFFLINE": "`1`: encoders and datasets are never downloaded.",
    "HF_ENDPOINT": "The address of a mirror that is used instead of `https://huggingface.co`.",
    "HF_HOME": "Where the Hugging Face libraries keep what they download.",
    "RAY_ADDRESS": "The cluster of `ie predict --engine ray` if there is no `--address`.",
    "HF_TOKEN": "The token for private models and for uploads.",
    "OMP_NUM_THREADS": "The number of CPU threads of torch and ONNX Runtime.",
    "CUDA_VISIBLE_DEVICES": "The GPUs that may be used; an empty value means none.",
    "MLFLOW_TRACKING_URI": "The server of the MLflow logger (`training.trackers: [mlflow]`).",
}


def page() -> str:
    """The page."""
    return "".join(
        [
            "# Exit codes and environment\n\n## Exit codes\n\n",
            table(("code", "meaning"), ((code(number), text) for number, text in EXIT_CODES.items())),
            "## Environment variables\n\n",
            "Variables that `ie` reads. An option on the command line takes precedence over its variable.\n\n",
            _variables(VARIABLES),
            "Frequently needed variables of the libraries that `ie` uses:\n\n",
            _variables(LIBRARIES),
        ]
    )


def _variables(meanings: dict[str, str]) -> str:
    rows = ((", ".join(map(code, names.split(", "))), text) for names, text in meanings.items())
    return table(("variable", "meaning"), rows)
