"""What a JEPA is trained for: the latent dynamics, auxiliary tasks, regularisers, augmentation."""
