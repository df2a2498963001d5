package loadbalancer

import (
	"fmt"
	"net/netip"
)

// pool hands out IPv4 addresses of one range, the lowest free one first. It is not safe for concurrent use.
type pool struct {
	prefix netip.Prefix
	owners map[netip.Addr]string
	held   map[string]netip.Addr
}

func newPool(cidr string) (*pool, error) {
	prefix, err := netip.ParsePrefix(cidr)
	if err != nil {
		return nil, err
	}
	if !prefix.Addr().Is4() || prefix.Bits() > 30 || prefix != prefix.Masked() {
		return nil, fmt.Errorf("%s: want an IPv4 network with room for addresses, such as 198.18.192.0/24", cidr)
	}
	return &pool{prefix: prefix, owners: map[netip.Addr]string{}, held: map[string]netip.Addr{}}, nil
}

// claim gives the owner exactly this address. It says false when the address is not the pool's to give: out of the
// range, the network's first or last one, or another owner's. An address that the owner held before becomes free.
func (p *pool) claim(owner string, address netip.Addr) bool {
	if !p.usable(address) {
		return false
	}
	if other, taken := p.owners[address]; taken {
		return other == owner
	}
	p.release(owner)
	p.owners[address], p.held[owner] = owner, address
	return true
}

// allocate returns the address that the owner holds, or gives it the lowest free one; false when there is none left.
func (p *pool) allocate(owner string) (netip.Addr, bool) {
	if address, ok := p.held[owner]; ok {
		return address, true
	}
	for address := p.prefix.Addr().Next(); p.usable(address); address = address.Next() {
		if p.claim(owner, address) {
			return address, true
		}
	}
	return netip.Addr{}, false
}

// release frees what the owner holds and says whether it held anything.
func (p *pool) release(owner string) bool {
	address, ok := p.held[owner]
	delete(p.owners, address)
	delete(p.held, owner)
	return ok
}

func (p *pool) usable(address netip.Addr) bool {
	return p.prefix.Contains(address) && address != p.prefix.Addr() && p.prefix.Contains(address.Next())
}
