from tests.production.service.conftest import bundle, bundle_folder

__all__ = ["bundle", "bundle_folder"]
