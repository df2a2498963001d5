"""From a decoded image to a class: preprocessing, the inference threads, the verdict."""
