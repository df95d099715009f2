# One stage of structure from motion by pycolmap: python -c SCRIPT STAGE SETTINGS, settings as JSON.
# Keyword arguments changed their names between versions 3 and 4; a function's own text tells which it knows.
import json
import sys

import pycolmap

stage, job = sys.argv[1], json.loads(sys.argv[2])
on_gpu = not job["cpu"] and getattr(pycolmap, "has_cuda", False)
device = pycolmap.Device.cuda if on_gpu else pycolmap.Device.cpu


def new(*names):
    for name in names:
        if hasattr(pycolmap, name):
            return getattr(pycolmap, name)()
    return None


def put(options, name, value):
    if options is not None and hasattr(options, name):
        setattr(options, name, value)


def call(function, *arguments, **choices):
    text = function.__doc__ or ""
    known = {}
    for names, value in choices.items():
        name = next((n for n in names.split("__or__") if n + ":" in text), None)
        if name and value is not None:
            known[name] = value
    return function(*arguments, **known)


if stage == "features":
    reader = new("ImageReaderOptions")
    put(reader, "camera_model", job["camera_model"])
    if job["masks"]:
        put(reader, "mask_path", job["masks"])
    options = new("FeatureExtractionOptions", "SiftExtractionOptions")
    put(options, "use_gpu", on_gpu)
    put(options, "max_image_size", job["feature_size"])
    put(getattr(options, "sift", options), "max_num_features", job["max_features"])
    call(
        pycolmap.extract_features,
        job["database"],
        job["images"],
        camera_mode=getattr(pycolmap.CameraMode, job["camera_mode"]),
        camera_model=job["camera_model"],
        reader_options=reader,
        extraction_options__or__sift_options=options,
        device=device,
    )
elif stage == "matches":
    matching = new("FeatureMatchingOptions", "SiftMatchingOptions")
    put(matching, "use_gpu", on_gpu)
    if job["matcher"] == "sequential":
        function = pycolmap.match_sequential
        pairing = new("SequentialPairingOptions", "SequentialMatchingOptions")
        put(pairing, "overlap", job["overlap"])
    else:
        function = pycolmap.match_exhaustive
        pairing = new("ExhaustivePairingOptions", "ExhaustiveMatchingOptions")
        put(pairing, "block_size", 10)
    text = function.__doc__ or ""
    if "pairing_options:" in text:
        call(function, job["database"], matching_options=matching, pairing_options=pairing, device=device)
    else:
        call(function, job["database"], sift_options=matching, matching_options=pairing, device=device)
else:
    options = new("IncrementalPipelineOptions", "IncrementalMapperOptions")
    put(options, "min_model_size", 3)
    call(pycolmap.incremental_mapping, job["database"], job["images"], job["sparse"], options=options)
