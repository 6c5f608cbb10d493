import './player/element.ts';
import './storefront/storefront.ts';
