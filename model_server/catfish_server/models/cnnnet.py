"""The small convolutional network of the book *Programming PyTorch for Deep Learning*."""

import torch
from torch import nn


class CNNNet(nn.Module):
    """An AlexNet without its local response normalisation, for images of 224 pixels (63 are the least).

    The names of its parts and their places in each Sequential are those of the book, since they are the keys
    of the weights that its readers have saved: `features.0` to `features.10`, `classifier.1`, `.4` and `.6`.

    Args:
        num_classes: outputs.
    """

    def __init__(self, num_classes: int = 2) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(64, 192, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(192, 384, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, num_classes),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (n, num_classes) of images (n, 3, height, width)."""
        pooled = self.avgpool(self.features(images))
        logits: torch.Tensor = self.classifier(torch.flatten(pooled, 1))
        return logits
